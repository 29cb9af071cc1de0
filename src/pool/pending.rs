//! A boot for once, or on trial, that a node has before it: `pending.json`.
//!
//! Reading only, and tolerant: a file that cannot be read protects everything the node has.

use std::path::Path;

use serde::Deserialize;

use super::name::EnvName;
use super::record;

/// How an environment is to be booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For the next boot only.
    Once,
    /// For the next boot, and for good when it reports that it came up.
    Try,
}

impl Kind {
    /// Returns the word `list --json` prints.
    pub fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Try => "try",
        }
    }
}

/// What a node has before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    None,
    /// One environment, once or on trial.
    Env(String, Kind),
    /// Something that cannot be read.
    Unknown,
}

#[derive(Deserialize)]
struct File {
    env: String,
    kind: Kind,
}

impl Pending {
    /// Reads what a node has before it.
    pub fn of(node_dir: &Path) -> Self {
        match record::read(&node_dir.join("pending.json")) {
            Ok(None) => Self::None,
            Ok(Some(text)) => serde_json::from_str(&text)
                .map_or(Self::Unknown, |f: File| Self::Env(f.env, f.kind)),
            Err(_) => Self::Unknown,
        }
    }

    /// Returns how an environment is to be booted; `None` where it is not.
    pub fn kind_for(&self, env: &EnvName) -> Option<Kind> {
        match self {
            Self::Env(name, kind) if name == env.as_str() => Some(*kind),
            _ => None,
        }
    }

    /// Returns whether an environment must be kept for it.
    pub fn protects(&self, env: &EnvName) -> bool {
        *self == Self::Unknown || self.kind_for(env).is_some()
    }
}
