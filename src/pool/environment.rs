//! An environment as the disk has it, whatever state that is in.
//!
//! Observing never fails for what is damaged: it says so in `problems`, and `list` shows `!`. Not for
//! whether it would boot: that is `lifecycle::verification`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::layout;
use super::name::{EnvName, NodeName};
use super::node::Node;
use super::record::{self, EnvRecord, KernelSeen};
use crate::boot;
use crate::failure::Failure;
use crate::storage::beneath::Tree;

/// The inode number of every subvolume's top directory.
const SUBVOLUME_INODE: u64 = 256;

/// One environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub name: EnvName,
    /// Its directory.
    pub dir: PathBuf,
    /// Its record, where `env.json` can be read.
    pub record: Option<EnvRecord>,
    /// Whether the node boots it next.
    pub active: bool,
    /// Whether the node is a template.
    pub template: bool,
    /// What is wrong with it, a sentence each; empty when it is complete.
    pub problems: Vec<String>,
}

impl Environment {
    /// Returns what stands under an environment's name; `None` where there is no directory.
    pub fn observe(node: &Node, name: &EnvName) -> Option<Self> {
        let dir = node.dir.join(layout::ENVS).join(name.as_str());
        let root = is_subvolume(&dir.join(layout::ROOT));
        let boot = is_subvolume(&dir.join(layout::BOOT));
        // Where both halves are there they have answered whether it is.
        let whole = root && boot;
        if !whole && !dir.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            return None;
        }
        let mut problems = Vec::new();
        for (there, half) in [(root, layout::ROOT), (boot, layout::BOOT)] {
            if !there {
                problems.push(format!("its {half} half is missing or is not a subvolume"));
            }
        }
        let record = match read_record(&dir) {
            Ok(record) => Some(record),
            Err(e) => {
                problems.push(format!("env.json cannot be used: {e:#}"));
                None
            }
        };
        if let Some(why) = record.as_ref().and_then(|r| r.failed.as_ref()) {
            problems.push(why.clone());
        }
        Some(Self {
            node: node.name.clone(),
            name: name.clone(),
            dir,
            record,
            active: node.active.as_ref() == Some(name),
            template: node.is_template(),
            problems,
        })
    }

    /// Returns the root half.
    pub fn root(&self) -> PathBuf {
        self.dir.join(layout::ROOT)
    }

    /// Returns the boot half.
    pub fn boot(&self) -> PathBuf {
        self.dir.join(layout::BOOT)
    }

    /// Returns its identity; `None` where `env.json` is lost.
    pub fn uuid(&self) -> Option<&str> {
        self.record.as_ref().map(|r| r.uuid.as_str())
    }

    /// Returns when it was made, UTC; where `env.json` is lost, when its directory last changed.
    pub fn created(&self) -> Timestamp {
        match &self.record {
            Some(record) => record.created,
            None => self
                .dir
                .metadata()
                .ok()
                .and_then(|m| Timestamp::from_second(m.mtime()).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Returns what a person said of it.
    pub fn description(&self) -> &str {
        self.record.as_ref().map_or("", |r| r.description.as_str())
    }

    /// Returns whether it is kept from being destroyed; unknown is kept.
    pub fn pinned(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.pinned)
    }

    /// Returns where the node mounts the boot half.
    pub fn boot_mount(&self) -> &str {
        self.record
            .as_ref()
            .map_or("/boot", |r| r.boot_mount.as_str())
    }

    /// Returns the version of the kernel it boots, as `uname -r` says it.
    ///
    /// What was last read is believed as long as the files it was read from have not changed.
    pub fn kernel(&self) -> Option<String> {
        let boot = self.boot();
        if let Some(seen) = self.record.as_ref().and_then(|r| r.kernel.as_ref())
            && kernel_stamp(&boot, &seen.file).as_ref() == Some(&seen.stamp)
        {
            return Some(seen.version.clone());
        }
        let (boot, root) = (Tree::open(&boot).ok()?, Tree::open(&self.root()).ok()?);
        boot::summary(&boot, &root).kernel_version
    }

    /// Returns its record, for a change.
    ///
    /// # Errors
    /// When `env.json` is lost, with the remedy.
    pub fn record_for_change(&self) -> anyhow::Result<EnvRecord> {
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

/// Leaves out what an interrupted rename left: of the old name and the new, the one that is not active,
/// or the old one where neither is.
///
/// The new one came whole, by one rename, and says in its record whose place it takes; the active link
/// follows after that.
pub(super) fn without_replaced(found: Vec<Environment>) -> Vec<Environment> {
    let mut hidden: Vec<EnvName> = Vec::new();
    for new in &found {
        let Some(old) = new.record.as_ref().and_then(|r| r.replaces.as_deref()) else {
            continue;
        };
        if let Some(old) = found
            .iter()
            .find(|e| e.name.as_str() == old && e.uuid() == new.uuid())
        {
            let loser = if old.active { new } else { old };
            hidden.push(loser.name.clone());
        }
    }
    found
        .into_iter()
        .filter(|e| !hidden.contains(&e.name))
        .collect()
}

/// Returns the kernel's version with the stamp of what it was read from; `None` where it has none.
pub fn kernel_seen(boot_half: &Path, summary: &boot::Summary) -> Option<KernelSeen> {
    let file = summary.kernel_file.clone()?;
    Some(KernelSeen {
        stamp: kernel_stamp(boot_half, &file)?,
        version: summary.kernel_version.clone()?,
        file,
    })
}

/// Returns what changes when the kernel an environment boots changes: sizes and times of the files that
/// name it and of itself.
///
/// By plain paths, which is safe where the parts between are not links: only then there is a stamp.
fn kernel_stamp(boot_half: &Path, kernel: &str) -> Option<String> {
    let of = |m: &Metadata| format!("{}:{}.{:09}", m.len(), m.mtime(), m.mtime_nsec());
    let plain = |path: &str| -> Option<Metadata> {
        let mut at = boot_half.to_path_buf();
        let mut found = None;
        for part in path.split('/') {
            at.push(part);
            let here = at.symlink_metadata().ok()?;
            if here.is_symlink() {
                return None;
            }
            found = Some(here);
        }
        found
    };
    let named_by = ["config.txt", "pxelinux.cfg/default"]
        .into_iter()
        .find_map(plain)?;
    Some(format!("{};{}", of(&named_by), of(&plain(kernel)?)))
}

fn is_subvolume(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|m| m.is_dir() && m.ino() == SUBVOLUME_INODE)
}

fn read_record(dir: &Path) -> anyhow::Result<EnvRecord> {
    match record::read(&dir.join("env.json"))? {
        Some(text) => EnvRecord::parse(&text),
        None => anyhow::bail!("there is none"),
    }
}
