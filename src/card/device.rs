//! A card that is a block device of this server: finds the partition that firmware reads, formats the device, mounts it.
//!
//! The script `device.sh` examines and formats it, with the tools of util-linux and dosfstools. Promises a mount that no other
//! process sees and that ends with its descriptor. Not for the card's files.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use nix::libc;

use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::{partitions, server_packages};
use crate::terminal;

/// The exit status of the script for a refusal.
const REFUSED: i32 = 3;

const SCRIPT: [&str; 2] = [partitions::FUNCTIONS, include_str!("device.sh")];

/// The kernel's name of the filesystem.
const FAT: &str = "vfat";

/// The content of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// Its first FAT partition, or the device itself if it holds only a FAT filesystem.
    pub(super) partition: Option<PathBuf>,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// Its filesystems and partitions, `UUID=…` and `PARTUUID=…`.
    pub(super) holds: Vec<String>,
    /// The types of its signatures, by wipefs(8); empty if there are none.
    pub(super) held: String,
    /// The mount point of that partition, or else of any.
    pub(super) mounted: Option<PathBuf>,
    /// Whether the card is write-protected by a switch.
    pub(super) is_protected: bool,
    /// The UUID of the FAT filesystem.
    pub(super) uuid: Option<String>,
}

/// Examines a device.
pub(super) fn look(path: &Path) -> Result<Device> {
    for program in ["wipefs", "blkid", "lsblk"] {
        server_packages::require(program)?;
    }
    let output = run(path, "look")?;
    Ok(parsed(&String::from_utf8_lossy(&output.stdout)))
}

fn parsed(text: &str) -> Device {
    let mut device = Device::default();
    let nonempty = |value: &str| (!value.is_empty()).then(|| value.to_string());
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "partition" => device.partition = nonempty(value).map(PathBuf::from),
            "size" => device.size = value.parse().unwrap_or(0),
            "holds" => device.holds.push(value.to_string()),
            "held" => device.held = value.to_string(),
            "mounted" => {
                device.mounted = nonempty(value).map(|at| partitions::unescaped(&at).into());
            }
            "protected" => device.is_protected = value == "1",
            "uuid" => device.uuid = nonempty(value),
            _ => {}
        }
    }
    device
}

/// Creates a FAT filesystem on a device, on a whole disk inside a new partition. Destroys the device's content.
pub(super) fn format(path: &Path) -> Result<()> {
    run(path, "format").map(drop)
}

/// Refuses if this server cannot format or write cards.
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

/// Mounts a FAT filesystem, invisible to other processes.
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
    let message = terminal::text(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    match output.status.code() {
        Some(REFUSED) => Err(Failure::refused(lines.join("; ")).into()),
        _ => bail!("{}: {}", doing(), lines.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_script_is_parsed() {
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
