//! A card that is a block device of this server: which partition firmware reads, formatting it, mounting it.
//!
//! It is looked at and formatted by a script with the tools of util-linux and dosfstools, `device.sh`. Promises a mount that no other
//! process sees, which ends with its descriptor. Not for its files.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use nix::libc;

use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::{partitions, server_packages};
use crate::terminal;

/// The status of the script where it refuses.
const REFUSED: i32 = 3;

const SCRIPT: [&str; 2] = [partitions::FUNCTIONS, include_str!("device.sh")];

/// The filesystem, as the kernel calls it.
const FAT: &str = "vfat";

/// What is on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// Its first FAT partition, or itself where FAT is all it holds.
    pub(super) partition: Option<PathBuf>,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// Its filesystems and partitions, `UUID=…` and `PARTUUID=…`.
    pub(super) holds: Vec<String>,
    /// What it holds, in wipefs' words; empty if nothing.
    pub(super) held: String,
    /// Where that partition, or else any, is mounted.
    pub(super) mounted: Option<PathBuf>,
    /// Whether a switch of the card protects it from writing.
    pub(super) is_protected: bool,
    /// The UUID of the FAT filesystem.
    pub(super) uuid: Option<String>,
}

/// Looks at a device.
pub(super) fn look(path: &Path) -> Result<Device> {
    for program in ["wipefs", "blkid", "lsblk"] {
        server_packages::require(program)?;
    }
    let output = run(path, "look")?;
    Ok(parsed(&String::from_utf8_lossy(&output.stdout)))
}

fn parsed(text: &str) -> Device {
    let mut device = Device::default();
    let told = |value: &str| (!value.is_empty()).then(|| value.to_string());
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "partition" => device.partition = told(value).map(PathBuf::from),
            "size" => device.size = value.parse().unwrap_or(0),
            "holds" => device.holds.push(value.to_string()),
            "held" => device.held = value.to_string(),
            "mounted" => {
                device.mounted = told(value).map(|at| partitions::unescaped(&at).into());
            }
            "protected" => device.is_protected = value == "1",
            "uuid" => device.uuid = told(value),
            _ => {}
        }
    }
    device
}

/// Makes a FAT filesystem on a device, on a disk in a partition of its own; what it held is gone.
pub(super) fn format(path: &Path) -> Result<()> {
    run(path, "format").map(drop)
}

/// Refuses a server that could not format or write a card.
pub(super) fn refuse_unable(formats: bool) -> Result<()> {
    let needs: &[&str] = if formats {
        &["sfdisk", "mkfs.vfat"]
    } else {
        &[]
    };
    needs
        .iter()
        .try_for_each(|program| server_packages::require(program))?;
    match Detached::knows(FAT) {
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Err(Failure::refused(
            "the kernel of this server cannot mount FAT",
        )
        .hint("modprobe vfat")
        .into()),
        other => other.context("mounting FAT"),
    }
}

/// Mounts a FAT filesystem where no other process sees it.
pub(super) fn mount(partition: &Path, access: Access) -> Result<OwnedFd> {
    let forbids =
        Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV | Forbids::MOUNT_ATTR_NOEXEC;
    let shown = partition.display();
    let mounted = Detached::of_device(FAT, partition, &[], access, forbids)
        .with_context(|| format!("mounting {shown}"))?;
    Ok(mounted.into_top())
}

fn run(path: &Path, verb: &str) -> Result<Output> {
    let doing = || match verb {
        "look" => format!("looking at {}", path.display()),
        _ => format!("formatting {}", path.display()),
    };
    let output = Command::new("sh")
        .args(["-c", &SCRIPT.concat(), "netbe"])
        .arg(path)
        .arg(verb)
        .output()
        .with_context(doing)?;
    if output.status.success() {
        return Ok(output);
    }
    let told = terminal::text(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    match output.status.code() {
        Some(REFUSED) => Err(Failure::refused(lines.join("; ")).into()),
        _ => bail!("{}: {}", doing(), lines.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_tells_is_read() {
        let text = "partition=/dev/sdb1\nheld=dos\nmounted=/media/a\\x20b\nprotected=1\nsize=4096\nholds=PARTUUID=1-01\nuuid=12AB-34CD\n";
        assert_eq!(
            parsed(text),
            Device {
                partition: Some("/dev/sdb1".into()),
                size: 4096,
                holds: vec!["PARTUUID=1-01".to_string()],
                held: "dos".to_string(),
                mounted: Some("/media/a b".into()),
                is_protected: true,
                uuid: Some("12AB-34CD".to_string()),
            }
        );
        assert_eq!(
            parsed("partition=\nheld=\nmounted=\nprotected=0\n"),
            Device::default()
        );
    }
}
