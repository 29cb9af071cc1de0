//! An environment as it is on disk, in any state.
//!
//! A damaged environment is no error: `problems` has the damage, and `list` shows `!`. Not for verifying that it would
//! boot: `staged::verified`.

mod dir;
mod image;
mod read_only;
mod replaced;
mod seen;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use super::code::Key;
use super::env_id::EnvId;
use super::layout;
use super::lock::NodeLock;
use super::name::{EnvName, NodeName};
use super::node::Node;
use super::record::EnvRecord;
use crate::boot;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::dir_names::MAX_READS;
use crate::fs::path_error::is_system_error;
use crate::fs::rooted::Tree;

pub use dir::Envs;
use dir::is_dir;
pub use replaced::{Claim, without_replaced};
pub use seen::kernel_seen;

/// One environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub name: EnvName,
    /// Its directory.
    pub dir: PathBuf,
    /// Its record; `None` if `env.json` cannot be read.
    pub record: Option<EnvRecord>,
    /// Whether it is the node's active environment.
    pub active: bool,
    /// Whether the node is a template.
    pub template: bool,
    /// Its problems, a sentence each; empty if it is complete.
    pub problems: Vec<String>,
    /// Whether both halves exist, which is all that a running machine needs.
    pub whole: bool,
    /// Whether reading it failed: what seems missing may exist.
    pub unread: bool,
    /// The kernel it boots, if the record is still right.
    kernel: Option<String>,
    /// Whether its root half and its boot half are read-only subvolumes, if that is known without opening them.
    read_only: [Option<bool>; 2],
    /// The key of its record.
    key: Key,
}

/// The order of creation: by subvolume ID; by the clock only for environments of an older netbe, which have no ID and sort
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(pub Option<u64>, pub Timestamp);

impl Environment {
    /// Returns the environment of a name; `None` if nothing has that name.
    ///
    /// # Errors
    /// When its existence cannot be determined.
    pub fn observe(node: &Node, name: &EnvName) -> Result<Option<Self>> {
        let envs = Envs::open(node)?;
        Ok(envs.and_then(|envs| Self::observe_in(&envs, node, name)))
    }

    /// Returns an environment of which only the name is known, since its node's directory cannot be read.
    pub fn unread(node: &Node, name: &EnvName, why: &str) -> Self {
        Self {
            problems: vec![format!("it cannot be read: {why}")],
            // It may be complete, and a machine may run it.
            whole: true,
            unread: true,
            ..Self::named(node, name)
        }
    }

    /// Returns an environment that is complete in a stage, under the name that it is to have.
    pub fn staged(node: &Node, name: &EnvName, dir: &Path, record: EnvRecord) -> Self {
        Self {
            dir: dir.to_path_buf(),
            record: Some(record),
            whole: true,
            active: false,
            ..Self::named(node, name)
        }
    }

    /// Returns the environment of a name in its node's open directory.
    ///
    /// Eight system calls for a sound one whose halves are known, since a list has thousands. A half is reported missing only if the
    /// environment still exists afterwards: another netbe may delete it between the two checks.
    pub fn observe_in(envs: &Envs<'_>, node: &Node, name: &EnvName) -> Option<Self> {
        let mut seen = Self::observe_once(envs, node, name)?;
        let inode = || {
            envs.look(name.as_str())
                .map(|found| found.map(|stat| stat.st_ino))
        };
        for _ in 1..MAX_READS {
            if seen.whole {
                break;
            }
            let before = inode();
            seen = Self::observe_once(envs, node, name)?;
            match (before, inode()) {
                (_, Ok(None)) => return None,
                (Ok(before), Ok(after)) if before != after => {}
                _ => break,
            }
        }
        Some(seen)
    }

    fn observe_once(envs: &Envs<'_>, node: &Node, name: &EnvName) -> Option<Self> {
        let root = envs.subvolume(&format!("{name}/{}", layout::ROOT));
        let root_facts = envs.facts(root.ok().flatten());
        let mut problems = Vec::new();
        let mut unread = false;
        let record = match envs.record(name, root_facts) {
            Ok(record) => Some(record),
            Err(e) => {
                match envs.look(name.as_str()) {
                    Ok(Some(stat)) if !is_dir(&stat) => {
                        return Some(Self {
                            problems: vec![
                                "it is not a directory, and was not made by netbe".to_string(),
                            ],
                            ..Self::named(node, name)
                        });
                    }
                    Ok(None) => return None,
                    _ => {}
                }
                let io = e.downcast_ref::<io::Error>();
                unread = io.is_some_and(is_system_error);
                problems.push(format!("env.json cannot be used: {e:#}"));
                None
            }
        };
        let boot = envs.subvolume(&format!("{name}/{}", layout::BOOT));
        let boot_top = boot.ok().flatten();
        let seen = record.as_ref().and_then(|r| r.kernel.as_ref());
        let kernel = seen
            .filter(|seen| boot_top.is_some_and(|boot| envs.still_has(name, seen, boot.device)))
            .map(|seen| seen.version.clone());
        let (root, boot) = (root.map(|r| r.is_some()), boot.map(|b| b.is_some()));
        // A half that cannot be read may exist, and a machine may run it.
        let whole = root.unwrap_or(true) && boot.unwrap_or(true);
        for (there, half) in [(root, layout::ROOT), (boot, layout::BOOT)] {
            match there {
                Ok(true) => {}
                Ok(false) => {
                    problems.push(format!("its {half} half is missing or is not a subvolume"));
                }
                Err(e) => {
                    let e = io::Error::from(e);
                    unread |= is_system_error(&e);
                    problems.push(format!("its {half} half cannot be read: {e}"));
                }
            }
        }
        if let Some(record) = &record {
            problems.extend(record.failed.iter().chain(&record.unproven).cloned());
        }
        Some(Self {
            record,
            problems,
            whole,
            unread,
            kernel,
            read_only: [root_facts, envs.facts(boot_top)].map(|half| Some(half?.read_only)),
            ..Self::named(node, name)
        })
    }

    /// Returns an environment of which only the name is known.
    fn named(node: &Node, name: &EnvName) -> Self {
        Self {
            node: node.name.clone(),
            name: name.clone(),
            dir: node.dir.join(layout::ENVS).join(name.as_str()),
            record: None,
            active: node.active.as_ref() == Some(name),
            template: node.is_template(),
            problems: Vec::new(),
            whole: false,
            unread: false,
            kernel: None,
            read_only: [None; 2],
            key: node.key.clone(),
        }
    }

    /// Returns where on the node's own disk its root is, if `deploy` has put it there.
    pub fn disk(&self) -> Option<&boot::DiskRoot> {
        self.record.as_ref()?.disk.as_ref()
    }

    /// Returns its node and name.
    pub fn id(&self) -> EnvId {
        EnvId::new(&self.node, &self.name)
    }

    /// Returns the root half.
    pub fn root(&self) -> PathBuf {
        self.dir.join(layout::ROOT)
    }

    /// Returns the boot half.
    pub fn boot(&self) -> PathBuf {
        self.dir.join(layout::BOOT)
    }

    /// Returns whether it was deleted since it was read.
    pub fn is_gone(&self) -> bool {
        let found = self.dir.symlink_metadata();
        found.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
    }

    /// Returns its identity; `None` if `env.json` is lost.
    pub fn uuid(&self) -> Option<&str> {
        self.record.as_ref().map(|r| r.uuid.as_str())
    }

    /// Returns the time of creation, UTC; if `env.json` is lost, the last change of its directory.
    pub fn created(&self) -> Timestamp {
        match &self.record {
            Some(record) => record.created,
            None => self
                .dir
                .symlink_metadata()
                .ok()
                .and_then(|m| Timestamp::from_second(m.mtime()).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Returns its position in the order of creation.
    pub fn order(&self) -> Order {
        Order(self.record.as_ref().and_then(|r| r.number), self.created())
    }

    /// Returns whether it is kept from being destroyed; unknown is kept.
    pub fn pinned(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.pinned)
    }

    /// Returns the mount point of the boot half.
    pub fn boot_mount(&self) -> &str {
        self.record
            .as_ref()
            .map_or("/boot", |r| r.boot_mount.as_str())
    }

    /// Returns the version of the kernel it boots, as in `uname -r`.
    ///
    /// The recorded version is used as long as the files it was read from are unchanged.
    pub fn kernel(&self) -> Option<String> {
        if self.kernel.is_some() {
            return self.kernel.clone();
        }
        if !self.whole {
            // A half that is not a subvolume may be a link to anywhere.
            return None;
        }
        let _files = self.show_files().ok()?;
        let (boot, root) = (
            Tree::open(&self.boot()).ok()?,
            Tree::open(&self.root()).ok()?,
        );
        boot::summary(&boot, &root).kernel_version
    }

    /// Returns a sentence about netbe's files that a killed command left in place of its own.
    pub fn left_by_a_killed_command(&self) -> Option<String> {
        let lent = &self.record.as_ref()?.lent;
        let lent: Vec<String> = lent.iter().map(|lent| format!("/{}", lent.path)).collect();
        (!lent.is_empty()).then(|| {
            format!(
                "files of netbe's stand in place of its own, since a command in it was killed: {}",
                lent.join(", ")
            )
        })
    }

    /// Refuses an environment in which a killed command left netbe's files in place of its own.
    pub fn require_own_files(&self) -> Result<()> {
        match self.left_by_a_killed_command() {
            None => Ok(()),
            Some(left) => Err(Failure::refused(format!("in {self} {left}"))
                .hint(format!("netbe check --repair {}", self.node))
                .into()),
        }
    }

    /// Refuses an environment with problems.
    pub fn require_sound(&self) -> Result<()> {
        self.require_own_files()?;
        if self.problems.is_empty() {
            return Ok(());
        }
        let problems = self.problems.join("; ");
        Err(Failure::refused(format!("{self} is damaged: {problems}"))
            .hint(format!("netbe check {}", self.node))
            .into())
    }

    /// Writes its record, by the lock of its node.
    pub fn store(&self, lock: &NodeLock, record: &EnvRecord, durable: Durable) -> Result<()> {
        lock.ensure_protects(&self.node)?;
        record.store(&self.dir, &self.key, durable)
    }

    /// Returns its record, for a change.
    ///
    /// # Errors
    /// When `env.json` is lost, with the remedy.
    pub fn record_for_change(&self) -> Result<EnvRecord> {
        self.record.clone().ok_or_else(|| {
            Failure::failed(format!("{self}: {}", self.problems.join("; ")))
                .hint("netbe check --repair")
                .into()
        })
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.node, self.name)
    }
}
