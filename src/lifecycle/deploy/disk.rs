//! The disk of a node: what is on it, and putting subvolumes there.
//!
//! All of it is done by a script with the tools of btrfs and util-linux, on this server or, by ssh, on the node: `disk.sh`.
//! Not for what is put there, nor for what the node then boots.

use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::changed::changed;
use crate::failure::Failure;
use crate::fs::server_packages;
use crate::terminal;

/// The status of the script where it refuses.
const REFUSED: i32 = 3;

const SCRIPT: &str = include_str!("disk.sh");

/// Where a node's disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A block device of this server, or a directory of a filesystem on it.
    Here(PathBuf),
    /// The same on a machine that is reached by ssh.
    There {
        /// As ssh takes it: `root@nog`.
        host: String,
        /// The device or directory.
        path: String,
    },
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let Some(rest) = text.strip_prefix("ssh://") else {
            return Ok(Self::Here(PathBuf::from(text)));
        };
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"@._:[]-".contains(&c);
        if host.is_empty() || host.starts_with('-') || !host.bytes().all(plain) {
            return Err(Failure::usage(format!(
                "\"{text}\" names no host: ssh://root@nog/dev/sda2"
            )));
        }
        Ok(Self::There {
            host: host.to_string(),
            path: path.to_string(),
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(path) => write!(f, "{}", path.display()),
            Self::There { host, path } => write!(f, "ssh://{host}{path}"),
        }
    }
}

/// What is on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The disk or partition, `/dev/sda2`.
    pub device: String,
    /// Its filesystem; empty if none is known.
    pub filesystem: String,
    /// What it holds, in wipefs' words; empty if nothing.
    pub held: String,
    /// Where it, or a part of it, is mounted.
    pub mounted: Option<String>,
    /// The partition as the kernel finds it, `PARTUUID=…`, or the filesystem, `UUID=…`.
    pub root: String,
    /// The UUID of its filesystem.
    pub uuid: String,
    /// Free space, in bytes.
    pub free: u64,
    /// What a line of fstab can name: of the node, where it is asked itself; here, of this disk.
    pub beside: Vec<String>,
    /// The names in it that can be booted.
    pub has: Vec<String>,
    /// The names of which it has what was sent.
    pub sent: Vec<String>,
}

/// Parses what the script tells of a disk.
fn found(text: &str) -> Found {
    let mut found = Found::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.trim().to_string();
        match key {
            "device" => found.device = value,
            "filesystem" => found.filesystem = value,
            "held" => found.held = value,
            "mounted" => found.mounted = (!value.is_empty()).then_some(value),
            "root" => found.root = value,
            "uuid" => found.uuid = value,
            "free" => found.free = value.parse().unwrap_or(0),
            "beside" => found.beside.push(value),
            // What another machine says is not believed: a name becomes a part of a path.
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

/// Returns whether a name is one that deploy gives.
fn is_name(name: &str) -> bool {
    !name.starts_with(['-', '.'])
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c))
}

impl Target {
    /// Returns what is on it.
    pub(super) fn look(&self) -> Result<Found> {
        let whose = match self {
            Self::Here(_) => "disk",
            Self::There { .. } => "machine",
        };
        let output = self.run("look", &[whose], None)?;
        Ok(found(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Makes a btrfs on it, on a disk in a partition of its own; what it held is gone.
    ///
    /// # Errors
    /// A refusal where it does not hold any more what it held when it was looked at.
    pub(super) fn format(&self, name: &str, held: &str) -> Result<()> {
        self.run("format", &[name, held], None).map(drop)
    }

    /// Receives a subvolume from a send stream, and makes it bootable; durable when it returns.
    pub(super) fn receive(&self, name: &str, stream: PipeReader) -> Result<()> {
        self.run("receive", &[name], Some(stream)).map(drop)
    }

    /// Returns the paths that the node has changed in one since it came.
    pub(super) fn changes(&self, name: &str) -> Result<Vec<String>> {
        let output = self.run("changes", &[name], None)?;
        Ok(changed(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Removes one.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.run("remove", &[name], None).map(drop)
    }

    fn run(&self, verb: &str, words: &[&str], input: Option<PipeReader>) -> Result<Output> {
        let doing = || format!("{} {self}", doing(verb));
        let mut command = match self {
            Self::Here(path) => {
                for program in [
                    "unshare", "btrfs", "sfdisk", "wipefs", "blkid", "findmnt", "flock",
                ] {
                    server_packages::require(program)?;
                }
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", SCRIPT, "netbe"])
                    .arg(path)
                    .arg(verb)
                    .args(words);
                command
            }
            Self::There { host, path } => {
                server_packages::require("ssh")?;
                let program = ["unshare", "--mount", "sh", "-c", SCRIPT, "netbe"];
                let all = program.into_iter().chain([path.as_str(), verb]);
                let all = all.chain(words.iter().copied()).map(quoted);
                let line = all.collect::<Vec<_>>().join(" ");
                let mut command = Command::new("ssh");
                command.args(["-o", "BatchMode=yes", "--", host, &line]);
                command
            }
        };
        let input = input.map_or_else(Stdio::null, Stdio::from);
        let output = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .with_context(doing)?;
        if output.status.success() {
            return Ok(output);
        }
        let said = terminal::text(&String::from_utf8_lossy(&output.stderr).replace('\r', ""));
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with("Chroot to "))
            .collect();
        if output.status.code() == Some(REFUSED) {
            return Err(Failure::refused(lines.join("; ")).into());
        }
        bail!("{}: {}", doing(), lines.join("; "))
    }
}

/// Returns how much a root takes on a disk, in bytes.
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
    // A file that goes meanwhile is told on stderr, and is no failure.
    bytes
        .with_context(|| String::from_utf8_lossy(&output.stderr).trim().to_string())
        .with_context(doing)
}

/// Returns what a verb of the script does, in words before the disk.
fn doing(verb: &str) -> &'static str {
    match verb {
        "look" => "looking at",
        "format" => "formatting",
        "receive" => "writing to",
        "changes" => "comparing what is on",
        _ => "removing from",
    }
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Returns an error of a stream that was cut, if sending it failed.
pub(super) fn sent(sending: io::Result<()>) -> Result<()> {
    sending.context("reading the root that is sent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_devices_directories_and_hosts() {
        let there = |host: &str, path: &str| Target::There {
            host: host.to_string(),
            path: path.to_string(),
        };
        for (text, target) in [
            ("/dev/sda", Target::Here("/dev/sda".into())),
            ("ssh://nog", there("nog", "/")),
            (
                "ssh://root@10.0.0.7/dev/sda2",
                there("root@10.0.0.7", "/dev/sda2"),
            ),
        ] {
            assert_eq!(text.parse::<Target>().unwrap(), target);
        }
        for text in [
            "ssh://",
            "ssh:///dev/sda",
            "ssh://-oProxyCommand=x",
            "ssh://a b/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_script_tells_is_read() {
        let text = "device=/dev/sda1\nfilesystem=btrfs\nheld=btrfs \nmounted=\nroot=\nuuid=a-b\nfree=4096\nbeside=UUID=c\nhas=first-1a\nhas=../b-1a\nsent=../../nog/deployed/b-1a\nsent=first-1a\n";
        let seen = found(text);
        assert_eq!((seen.root.as_str(), seen.free), ("UUID=a-b", 4096));
        assert_eq!((seen.held.as_str(), seen.mounted), ("btrfs", None));
        assert_eq!(
            (seen.has, seen.sent),
            (vec!["first-1a".to_string()], vec!["first-1a".to_string()])
        );
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
