//! The disk of a node: reading its state, and putting roots there.
//!
//! All of it is done by a script with the tools of btrfs, tar and util-linux, which `script` runs: `disk.sh`.
//! Not for what is put there, nor for what the node then boots.

use std::io::{PipeReader, Read, Seek};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::changed::changed;
pub use super::target::Target;
use crate::boot;
use crate::failure::Failure;
use crate::fs::partitions;
use crate::pool::Environment;
use crate::terminal;

/// The maximum number of drivers of a disk and of its chain of buses.
const DRIVERS: usize = 32;

/// What a disk is formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Filesystem {
    /// It holds several roots, each in a subvolume.
    Btrfs,
    /// One root, which is the whole filesystem.
    Ext4,
}

impl Filesystem {
    /// Returns its name, as the kernel has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Ext4 => "ext4",
        }
    }
}

/// The state of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The disk or partition, `/dev/sda2`.
    pub device: String,
    /// Its filesystem; empty if none is known.
    pub filesystem: String,
    /// The signatures on it, by wipefs(8); empty if there is none.
    pub held: String,
    /// Where it, or a part of it, is mounted.
    pub mounted: Option<String>,
    /// The partition as the kernel finds it, `PARTUUID=…`, or the filesystem, `UUID=…`.
    pub root: String,
    /// The UUID of its filesystem.
    pub uuid: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Free space, in bytes.
    pub free: u64,
    /// The filesystems on it and its partitions, as boot files name them.
    pub holds: Vec<String>,
    /// The devices that a line of fstab can name: all of the node, if the script runs there; else those of this disk.
    pub beside: Vec<String>,
    /// The modules that drive it and its buses, if the script runs on the node.
    pub drivers: Vec<String>,
    /// The names of the bootable roots on it, the oldest first.
    pub has: Vec<String>,
    /// The names of the roots that it also has as they were sent.
    pub sent: Vec<String>,
}

/// Parses the output of the script about a disk.
fn found(text: &str) -> Found {
    let mut found = Found::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.trim().to_string();
        match key {
            "device" => found.device = value,
            "filesystem" => found.filesystem = value,
            "held" => found.held = value,
            "mounted" => {
                let at = partitions::unescaped(&value);
                found.mounted = (!value.is_empty()).then(|| at.to_string_lossy().into_owned());
            }
            "root" => found.root = value,
            "uuid" => found.uuid = value,
            "size" => found.size = value.parse().unwrap_or(0),
            "free" => found.free = value.parse().unwrap_or(0),
            "holds" => found.holds.push(value),
            "beside" => found.beside.push(value),
            "driver" if boot::is_module_name(&value) && found.drivers.len() < DRIVERS => {
                found.drivers.push(value);
            }
            // The output of another machine is not trusted: a name becomes a part of a path.
            "has" if is_name(&value) => found.has.push(value),
            "sent" if is_name(&value) => found.sent.push(value),
            _ => {}
        }
    }
    if found.root.is_empty() && !found.uuid.is_empty() {
        found.root = format!("UUID={}", found.uuid);
    }
    found
}

/// Returns whether a name can be one of deploy's.
fn is_name(name: &str) -> bool {
    !name.starts_with(['-', '.'])
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c))
}

/// A disk to work on, under a lock against other deploys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk<'a> {
    /// Where it is.
    pub(super) target: &'a Target,
    /// How long to wait for another deploy that has the lock.
    pub(super) wait: Duration,
    /// The environment that is deployed.
    pub(super) env: &'a Environment,
}

impl Disk<'_> {
    /// Returns its state.
    pub(super) fn look(&self) -> Result<Found> {
        let whose = match self.target {
            Target::Here(_) => "disk",
            Target::There { .. } => "machine",
        };
        let output = self.run("look", &[whose], None)?;
        Ok(found(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Makes a filesystem on it, on a whole disk in a new partition; its content is lost.
    ///
    /// # Errors
    /// A refusal if its content has changed since its state was read.
    pub(super) fn format(&self, name: &str, held: &str, filesystem: Filesystem) -> Result<()> {
        self.run("format", &[name, held, filesystem.name()], None)
            .map(drop)
    }

    /// Copies a root into an ext4 that was just made, with this UUID; durable when it returns.
    ///
    /// # Errors
    /// A refusal if another filesystem has replaced it, or if it is not empty.
    pub(super) fn unpack(&self, uuid: &str, root: &Path) -> Result<()> {
        let doing = || format!("reading {}", root.display());
        let mut said = tempfile::tempfile().with_context(doing)?;
        let mut tar = Command::new("tar")
            .args(["-C".as_ref(), root.as_os_str()])
            .args([
                "-c",
                "--one-file-system",
                "--numeric-owner",
                "--sparse",
                "--acls",
                "--xattrs",
            ])
            // Not btrfs.*, which no other filesystem supports.
            .args(
                ["user.*", "security.*", "trusted.*"]
                    .map(|names| format!("--xattrs-include={names}")),
            )
            .args(["-f", "-", "."])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.try_clone().with_context(doing)?)
            .spawn()
            .with_context(doing)?;
        let stream = tar.stdout.take().map(Stdio::from);
        let unpacked = self.run("unpack", &[uuid], stream);
        let ended = tar.wait().with_context(doing)?;
        unpacked?;
        if ended.success() {
            return Ok(());
        }
        let mut text = String::new();
        said.rewind()
            .and_then(|()| said.read_to_string(&mut text))
            .with_context(doing)?;
        bail!("{}: {}", doing(), terminal::text(&text).trim())
    }

    /// Receives a subvolume from a send stream, on the filesystem with this UUID, and makes it bootable; durable when it
    /// returns.
    ///
    /// # Errors
    /// A refusal if another filesystem has replaced it.
    pub(super) fn receive(&self, name: &str, uuid: &str, stream: PipeReader) -> Result<()> {
        self.run("receive", &[name, uuid], Some(stream.into()))
            .map(drop)
    }

    /// Returns the paths that the node has changed in a root since it was sent.
    pub(super) fn changes(&self, name: &str) -> Result<Vec<String>> {
        let output = self.run("changes", &[name], None)?;
        Ok(changed(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Keeps a root under another name.
    pub(super) fn keep(&self, name: &str, other: &str) -> Result<()> {
        self.run("keep", &[name, other], None).map(drop)
    }

    /// Waits until the space of removed roots is free.
    pub(super) fn settle(&self) -> Result<()> {
        self.run("settle", &[], None).map(drop)
    }

    /// Removes a root.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.run("remove", &[name], None).map(drop)
    }

    fn run(&self, verb: &str, words: &[&str], input: Option<Stdio>) -> Result<Output> {
        // Whoever sends a stream tells what is sent.
        let is_alone = input.is_none();
        let done = self.target.run(verb, words, input, self.wait);
        match done {
            Err(e) if is_alone && !e.is::<Failure>() => {
                Err(e.context(format!("deploying {}", self.env)))
            }
            done => done,
        }
    }
}

/// Returns the space that a root takes on a disk, in bytes.
pub(super) fn size_of(root: &Path) -> Result<u64> {
    let doing = || format!("measuring {}", root.display());
    let output = Command::new("du")
        .args(["-s", "-x", "--block-size=1"])
        .arg(root)
        .stdin(Stdio::null())
        .output()
        .with_context(doing)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let bytes = said.split_whitespace().next().and_then(|n| n.parse().ok());
    // A file that is deleted meanwhile causes a message on stderr, and is no failure.
    bytes
        .with_context(|| String::from_utf8_lossy(&output.stderr).trim().to_string())
        .with_context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_tells_is_read() {
        let text = "device=/dev/sda1\nfilesystem=btrfs\nheld=btrfs \nmounted=\nroot=\nuuid=a-b\nfree=4096\ndriver=sd_mod\ndriver=$(reboot)\nbeside=UUID=c\nhas=first-1a\nhas=../b-1a\nsent=../../nog/deployed/b-1a\nsent=first-1a\n";
        let seen = found(text);
        assert_eq!((seen.root.as_str(), seen.free), ("UUID=a-b", 4096));
        assert_eq!(seen.drivers, ["sd_mod"]);
        assert_eq!((seen.held.as_str(), seen.mounted), ("btrfs", None));
        assert_eq!(
            (seen.has, seen.sent),
            (vec!["first-1a".to_string()], vec!["first-1a".to_string()])
        );
    }
}
