//! The pending boot of a node, for once or on trial: `pending.json`.
//!
//! The node's names lead to the environment until it is fetched, and then back to the active one; a trial then waits
//! for the report. A file that cannot be read protects all environments of the node. Writing takes the pool's lock, not
//! the node's: names are led back also during an upgrade of the node. Not for the rules: `lifecycle::trial`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::env_id::EnvId;
use super::lock::PoolLock;
use super::name::EnvName;
use super::record;
use crate::fs::atomic;

/// The kind of a pending boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For the next boot only.
    Once,
    /// For the next boot, and active if it reports a completed boot.
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

    /// Returns the pending boot of an environment in words.
    pub fn phrase(self, env: &EnvId) -> String {
        match self {
            Self::Once => format!("the pending boot of {env}"),
            Self::Try => format!("the trial of {env}"),
        }
    }
}

/// The content of `pending.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    None,
    /// A boot for once, or a trial.
    Boot(PendingBoot),
    /// It cannot be read, with the reason.
    Unknown(String),
}

/// A boot for once, or a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingBoot {
    /// The environment.
    pub env: EnvName,
    /// The kind.
    pub kind: Kind,
    /// When it was set, UTC.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The time limit of a trial from the fetch of its kernel to its report, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u64>,
    /// The boot ID of this machine when it was set, where the node is this machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_in: Option<String>,
    /// The boot ID in its last report before, which is not evidence of this boot.
    #[serde(
        rename = "told_before",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub boot_id_before: Option<String>,
    /// The boot IDs that the node's environments had reported when its names were led to it, and then when they were
    /// led back: these do not prove that the node has left it.
    #[serde(rename = "told", default, skip_serializing_if = "Vec::is_empty")]
    pub known_boot_ids: Vec<String>,
    /// Whether the NFS server had the environment in use before.
    #[serde(default)]
    pub used_before: bool,
    /// When it was fetched, UTC: then the names lead back to the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Timestamp>,
    /// Whether the node's own address fetched it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub its: bool,
    /// When the names were led back, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Whether the NFS server has had another of the node's environments in use since then: the node runs that one.
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
    /// Reads a node's pending boot.
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

    /// Returns the pending boot, if it can be read.
    pub fn boot(&self) -> Option<&PendingBoot> {
        match self {
            Self::Boot(boot) => Some(boot),
            _ => None,
        }
    }

    /// Returns the kind of an environment's pending boot; `None` if it has none.
    pub fn kind_for(&self, env: &EnvName) -> Option<Kind> {
        self.waiting().filter(|b| b.env == *env).map(|b| b.kind)
    }

    /// Returns the pending boot if the node's names lead to it.
    pub fn waiting(&self) -> Option<&PendingBoot> {
        self.boot().filter(|b| b.is_waiting())
    }

    /// Returns whether it protects an environment.
    pub fn protects(&self, env: &EnvName) -> bool {
        match self {
            Self::None => false,
            Self::Boot(boot) => boot.env == *env,
            Self::Unknown(_) => true,
        }
    }
}

/// Writes a node's new pending boot, durably, to its directory in the state directory.
///
/// Its names lead there from then on: only `lifecycle::pending::begin` calls it, for what was verified.
pub fn begin(node_dir: &Path, lock: &PoolLock, boot: &PendingBoot) -> Result<()> {
    lock.ensure_protects(state_of(node_dir))?;
    record::write(&path(node_dir), boot).context("making the pending boot durable")
}

/// Writes what has become of a node's pending boot, durably.
///
/// # Errors
/// If it is the boot of another environment than the one that was begun.
pub fn update(node_dir: &Path, lock: &PoolLock, boot: &PendingBoot) -> Result<()> {
    lock.ensure_protects(state_of(node_dir))?;
    let begun = Pending::read(node_dir);
    ensure!(
        begun.boot().is_some_and(|begun| begun.env == boot.env),
        "no pending boot of {} was begun",
        boot.env
    );
    record::write(&path(node_dir), boot).context("making the pending boot durable")
}

/// Returns the pool's state directory, from a node's directory in it: `nodes/NODE`.
fn state_of(node_dir: &Path) -> &Path {
    node_dir.ancestors().nth(2).unwrap_or(node_dir)
}

/// Removes a node's pending boot, durably; it need not exist.
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
    fn an_unreadable_record_protects_every_environment() {
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
