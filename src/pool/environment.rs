//! An environment as the disk has it, whatever state that is in.
//!
//! Observing never fails for what is damaged: it says so in `problems`, and `list` shows `!`. Not for
//! whether it would boot: that is `lifecycle::verification`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::layout;
use super::name::{EnvName, NodeName};
use super::node::Node;
use super::record::{self, EnvRecord, KernelSeen};
use crate::boot::{self, Loader};
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
    /// Whether both halves are there, which is all a machine needs that runs from it.
    pub whole: bool,
    /// The kernel it boots, where what was last read still holds.
    kernel: Option<String>,
}

/// The directory of a node's environments, open: thousands of them are looked at from here, and the path
/// to it is walked once.
#[derive(Debug)]
pub struct Envs {
    top: OwnedFd,
    path: PathBuf,
}

impl Envs {
    /// Opens a node's; `None` where there is none.
    ///
    /// # Errors
    /// When whether there is one cannot be told: taking it for none would take its environments off the network.
    pub fn open(node_dir: &Path) -> Result<Option<Self>> {
        let path = node_dir.join(layout::ENVS);
        // A link here would show another node's environments as this one's, to be destroyed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match nix::fcntl::open(&path, flags, Mode::empty()) {
            Ok(top) => Ok(Some(Self { top, path })),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => {
                Err(io::Error::from(e)).with_context(|| format!("reading {}", path.display()))
            }
        }
    }

    /// Returns what stands at a path below it, no link followed at its end; `None` where there is nothing.
    fn look(&self, path: &str) -> nix::Result<Option<FileStat>> {
        match fstatat(&self.top, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns the device number of the subvolume at a path; `None` where there is none.
    fn subvolume(&self, path: &str) -> nix::Result<Option<u64>> {
        let found = self.look(path)?;
        Ok(found
            .filter(|stat| stat.st_ino == SUBVOLUME_INODE && is_dir(stat))
            .map(|stat| stat.st_dev))
    }

    /// Returns whether an environment still has the kernel that was last seen in it.
    ///
    /// Each subvolume has a device number of its own: two files of the boot half's are in it, and no link
    /// planted there led away.
    fn still_has(&self, env: &EnvName, seen: &KernelSeen, boot: u64) -> bool {
        let look = |path: &str| {
            self.look(&format!("{env}/{}/{path}", layout::BOOT))
                .ok()
                .flatten()
        };
        let (Some(named_by), Some(kernel)) = (look(&seen.named_by), look(&seen.file)) else {
            return false;
        };
        named_by.st_dev == boot && kernel.st_dev == boot && stamp(&named_by, &kernel) == seen.stamp
    }

    fn record(&self, env: &EnvName) -> Result<EnvRecord> {
        // O_NONBLOCK: whatever was put there by hand, listing must not hang on it.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        // Nor follow a link, also not one in the environment's own place.
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = match openat2(&self.top, format!("{env}/env.json").as_str(), how) {
            Ok(fd) => File::from(fd),
            Err(nix::Error::ENOENT) => bail!("there is none"),
            Err(e) => return Err(io::Error::from(e).into()),
        };
        let mut text = vec![0; 8192];
        let mut length = loop {
            match (&file).read(&mut text) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if length == text.len() {
            // Longer than records are: with the changes of a large upgrade in it.
            length += file.take(record::LIMIT).read_to_end(&mut text)?;
        }
        EnvRecord::parse(str::from_utf8(&text[..length])?)
    }
}

fn is_dir(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

impl Environment {
    /// Returns what stands under an environment's name; `None` where there is nothing.
    ///
    /// # Errors
    /// When whether there is one cannot be told.
    pub fn observe(node: &Node, name: &EnvName) -> Result<Option<Self>> {
        let envs = Envs::open(&node.dir)?;
        Ok(envs.and_then(|envs| Self::observe_in(&envs, node, name)))
    }

    /// Returns an environment of which only the name is known, because its node's directory cannot be read.
    pub fn unread(node: &Node, name: &EnvName, why: &str) -> Self {
        Self {
            node: node.name.clone(),
            name: name.clone(),
            dir: node.dir.join(layout::ENVS).join(name.as_str()),
            record: None,
            active: node.active.as_ref() == Some(name),
            template: node.is_template(),
            problems: vec![format!("it cannot be read: {why}")],
            // Perhaps it is, and a machine runs from it.
            whole: true,
            kernel: None,
        }
    }

    /// Returns what stands under an environment's name in its node's open directory.
    ///
    /// Seven system calls where nothing is wrong: a list has thousands of these.
    pub fn observe_in(envs: &Envs, node: &Node, name: &EnvName) -> Option<Self> {
        let root = envs.subvolume(&format!("{name}/{}", layout::ROOT));
        let mut problems = Vec::new();
        let record = match envs.record(name) {
            Ok(record) => Some(record),
            Err(e) => {
                match envs.look(name.as_str()) {
                    Ok(Some(stat)) if !is_dir(&stat) => {
                        return Some(Self::not_one(envs, node, name));
                    }
                    Ok(None) => return None,
                    _ => {}
                }
                problems.push(format!("env.json cannot be used: {e:#}"));
                None
            }
        };
        let boot = envs.subvolume(&format!("{name}/{}", layout::BOOT));
        let device = boot.ok().flatten();
        let seen = record.as_ref().and_then(|r| r.kernel.as_ref());
        let kernel = seen
            .filter(|seen| device.is_some_and(|boot| envs.still_has(name, seen, boot)))
            .map(|seen| seen.version.clone());
        let (root, boot) = (root.map(|r| r.is_some()), boot.map(|b| b.is_some()));
        // What cannot be looked at may be there, and a machine may run from it.
        let whole = root.unwrap_or(true) && boot.unwrap_or(true);
        for (there, half) in [(root, layout::ROOT), (boot, layout::BOOT)] {
            match there {
                Ok(true) => {}
                Ok(false) => {
                    problems.push(format!("its {half} half is missing or is not a subvolume"));
                }
                Err(e) => problems.push(format!(
                    "its {half} half cannot be read: {}",
                    io::Error::from(e)
                )),
            }
        }
        if let Some(record) = &record {
            problems.extend(record.failed.iter().chain(&record.unproven).cloned());
        }
        Some(Self {
            node: node.name.clone(),
            name: name.clone(),
            dir: envs.path.join(name.as_str()),
            record,
            active: node.active.as_ref() == Some(name),
            template: node.is_template(),
            problems,
            whole,
            kernel,
        })
    }

    /// Returns what stands in an environment's place and is none, to be told of; nothing in it is looked at.
    fn not_one(envs: &Envs, node: &Node, name: &EnvName) -> Self {
        Self {
            node: node.name.clone(),
            name: name.clone(),
            dir: envs.path.join(name.as_str()),
            record: None,
            active: node.active.as_ref() == Some(name),
            template: node.is_template(),
            problems: vec!["it is no directory, and nothing of netbe's".to_string()],
            whole: false,
            kernel: None,
        }
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
                .symlink_metadata()
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
        if self.kernel.is_some() {
            return self.kernel.clone();
        }
        if !self.whole {
            // What stands in a half's place may lead anywhere.
            return None;
        }
        let (boot, root) = (
            Tree::open(&self.boot()).ok()?,
            Tree::open(&self.root()).ok()?,
        );
        boot::summary(&boot, &root).kernel_version
    }

    /// Refuses where something is wrong with it.
    pub fn require_sound(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let problems = self.problems.join("; ");
        Err(Failure::refused(format!("{self} is damaged: {problems}"))
            .hint(format!("netbe check {}", self.node))
            .into())
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

/// What an environment says of whose place it takes.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its node.
    pub node: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its identity.
    pub uuid: Option<&'a str>,
    /// The environment of the same node it is the new name of.
    pub replaces: Option<&'a str>,
    /// Whether the node boots it next.
    pub active: bool,
}

impl Environment {
    fn claim(&self) -> Claim<'_> {
        Claim {
            node: self.node.as_str(),
            name: self.name.as_str(),
            uuid: self.uuid(),
            replaces: self.record.as_ref().and_then(|r| r.replaces.as_deref()),
            active: self.active,
        }
    }

    /// Leaves out what an interrupted rename left.
    pub fn without_replaced(found: Vec<Self>) -> Vec<Self> {
        without_replaced(found, Self::claim)
    }
}

/// Leaves out what an interrupted rename left: of the old name and the new, the one that is not active,
/// or the old one where neither is.
///
/// The new one came whole, by one rename, and says in its record whose place it takes; the active link
/// follows after that.
pub fn without_replaced<T>(
    mut found: Vec<T>,
    claim: impl for<'a> Fn(&'a T) -> Claim<'a>,
) -> Vec<T> {
    let mut hidden: Vec<(String, String)> = Vec::new();
    for new in found.iter().map(&claim) {
        let Some(old) = new.replaces else {
            continue;
        };
        if let Some(old) = found
            .iter()
            .map(&claim)
            .find(|e| (e.node, e.name) == (new.node, old) && e.uuid == new.uuid)
        {
            let loser = if old.active { new } else { old };
            hidden.push((loser.node.to_string(), loser.name.to_string()));
        }
    }
    found.retain(|e| {
        let e = claim(e);
        !hidden
            .iter()
            .any(|(node, name)| (node.as_str(), name.as_str()) == (e.node, e.name))
    });
    found
}

/// Returns the kernel's version with the stamp of what it was read from; `None` where it has none.
pub fn kernel_seen(boot_half: &Path, summary: &boot::Summary) -> Option<KernelSeen> {
    let file = summary.kernel_file.clone()?;
    let named_by = match summary.loader? {
        Loader::Rpi => "config.txt",
        Loader::Pxelinux => "pxelinux.cfg/default",
    };
    let stat = |path: &str| nix::sys::stat::lstat(&boot_half.join(path)).ok();
    Some(KernelSeen {
        stamp: stamp(&stat(named_by)?, &stat(&file)?),
        named_by: named_by.to_string(),
        version: summary.kernel_version.clone()?,
        file,
    })
}

/// Returns what changes when the kernel an environment boots changes: sizes and times of the file that
/// names it and of itself.
fn stamp(named_by: &FileStat, kernel: &FileStat) -> String {
    let one = |s: &FileStat| format!("{}:{}.{:09}", s.st_size, s.st_mtime, s.st_mtime_nsec);
    format!("{};{}", one(named_by), one(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_6_what_cannot_be_looked_at_is_not_taken_for_absent() {
        let node = tempfile::tempdir().unwrap();
        assert!(Envs::open(node.path()).unwrap().is_none());
        // Any error but "there is none" will do: here a link, which is not followed.
        std::os::unix::fs::symlink(layout::ENVS, node.path().join(layout::ENVS)).unwrap();
        assert!(Envs::open(node.path()).is_err());
    }
}
