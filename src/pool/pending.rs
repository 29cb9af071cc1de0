//! A boot for once, or on trial, that a node has before it or is in the middle of: `pending.json`.
//!
//! While the environment has not been fetched, the node's names lead to it; once it has, they lead back to
//! the active one, and what is left is the question whether it came up. Reading is tolerant: a file that
//! cannot be read protects everything the node has. Writing takes the pool's lock and not the node's: a
//! node is led back also while it is upgraded, which takes minutes. Not for what follows from it: that is
//! `lifecycle::trial`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock::PoolLock;
use super::name::EnvName;
use super::record;
use crate::fs::atomic;

/// How an environment is to be booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A boot for once, or a trial.
    Boot(PendingBoot),
    /// Something that cannot be read, and why.
    Unknown(String),
}

/// A boot for once, or a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingBoot {
    /// The environment.
    pub env: EnvName,
    /// How it is to be booted.
    pub kind: Kind,
    /// Since when, UTC.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// How long a trial may take from the fetching of its kernel to its report, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u64>,
    /// The boot its report told of before, which says nothing of the one to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_before: Option<String>,
    /// The boots the node's environments had reported when machines were led to it, and then when they were led back:
    /// none of those tells that the node has left it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Whether the NFS server already knew the environment in use before.
    #[serde(default)]
    pub used_before: bool,
    /// When it had been fetched, UTC: the names lead to the active one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// Whether that was the node for certain, as far as its address tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub its: bool,
    /// Since when they do, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Whether the NFS server has seen another of the node's environments in use since then: the node runs, and not this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

impl PendingBoot {
    /// Returns whether the node's names lead to it.
    pub fn is_waiting(&self) -> bool {
        self.fetched.is_none()
    }
}

impl Pending {
    /// Reads what a node has before it.
    pub fn read(node_dir: &Path) -> Self {
        match record::read(&path(node_dir)) {
            Ok(None) => Self::None,
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(boot) => Self::Boot(boot),
                Err(e) => Self::Unknown(format!("pending.json: {e}")),
            },
            Err(e) => Self::Unknown(e.to_string()),
        }
    }

    /// Returns the boot it is, where there is one.
    pub fn boot(&self) -> Option<&PendingBoot> {
        match self {
            Self::Boot(boot) => Some(boot),
            _ => None,
        }
    }

    /// Returns how an environment is to be booted next; `None` where it is not.
    pub fn kind_for(&self, env: &EnvName) -> Option<Kind> {
        self.waiting().filter(|b| b.env == *env).map(|b| b.kind)
    }

    /// Returns the boot the node's names lead to.
    pub fn waiting(&self) -> Option<&PendingBoot> {
        self.boot().filter(|b| b.is_waiting())
    }

    /// Returns whether an environment must be kept for it.
    pub fn protects(&self, env: &EnvName) -> bool {
        match self {
            Self::None => false,
            Self::Boot(boot) => boot.env == *env,
            Self::Unknown(_) => true,
        }
    }
}

/// Writes what a node has before it, durably, in its directory in the pool's state directory.
pub fn write(node_dir: &Path, lock: &PoolLock, boot: &PendingBoot) -> Result<()> {
    lock.ensure_protects(state_of(node_dir))?;
    record::write(&path(node_dir), boot).context("making the pending boot durable")
}

/// Returns the pool's state directory, by a node's in it: `nodes/NODE`.
fn state_of(node_dir: &Path) -> &Path {
    node_dir.ancestors().nth(2).unwrap_or(node_dir)
}

/// Takes away what a node had before it, durably; nothing there is no error.
pub fn clear(node_dir: &Path, lock: &PoolLock) -> Result<()> {
    lock.ensure_protects(state_of(node_dir))?;
    let path = path(node_dir);
    match std::fs::remove_file(&path) {
        Ok(()) => atomic::directory(node_dir).context("making the end of the pending boot durable"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("removing {}", path.display())),
    }
}

fn path(node_dir: &Path) -> PathBuf {
    node_dir.join("pending.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_protects_everything() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b): (EnvName, EnvName) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(Pending::read(dir.path()), Pending::None);
        for text in [
            "",
            "{",
            r#"{"env":"../x","kind":"try"}"#,
            r#"{"env":"a","kind":"twice"}"#,
        ] {
            std::fs::write(dir.path().join("pending.json"), text).unwrap();
            let pending = Pending::read(dir.path());
            assert!(matches!(pending, Pending::Unknown(_)), "{text}");
            assert!(pending.protects(&a) && pending.protects(&b));
            assert_eq!(pending.kind_for(&a), None);
        }
        std::fs::write(
            dir.path().join("pending.json"),
            r#"{"env":"a","kind":"once"}"#,
        )
        .unwrap();
        let pending = Pending::read(dir.path());
        assert_eq!(pending.kind_for(&a), Some(Kind::Once));
        assert!(pending.protects(&a) && !pending.protects(&b));
        let fetched = r#"{"env":"a","kind":"try","fetched":"2026-11-20T10:15:00Z"}"#;
        std::fs::write(dir.path().join("pending.json"), fetched).unwrap();
        let pending = Pending::read(dir.path());
        assert_eq!((pending.kind_for(&a), pending.protects(&a)), (None, true));
    }
}
