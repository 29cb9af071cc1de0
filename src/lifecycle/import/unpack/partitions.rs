//! Which partition of a disk is a system's root, and which its boot half.
//!
//! The root is the partition that looks most like a system; the boot half is the one its fstab names, else the one
//! that can only be it.

use std::path::Path;

use anyhow::Result;

use super::boot_half;
use super::detect::{SystemMatch, other_kind, system_match};
use super::disk_file::Disk;
use super::disk_names::DiskNames;
use super::filesystem::BTRFS_TOP;
use crate::boot::fstab::entries;
use crate::failure::Failure;
use crate::formats::disk_image::{Filesystem, Partition};
use crate::fs::interrupt;

/// Subvolumes that distributions keep their root in, tried after the one that is mounted by default.
const ROOT_SUBVOLUMES: [&str; 4] = ["@", "@rootfs", "root", "@root"];
/// How many partitions are named of a disk without a system.
const NAMED: usize = 16;

/// Where a root was found: its partition, mount options, and the directory in it.
#[derive(Debug)]
pub(super) struct Root<'d> {
    pub(super) partition: &'d Partition,
    pub(super) options: &'static str,
    pub(super) at: &'static str,
}

/// Finds the root; the error says why there is none.
pub(super) fn find_root<'d>(disk: &Disk, all: &'d [Partition], scratch: &Path) -> Result<Root<'d>> {
    let mut best: Option<(SystemMatch, u64, Root<'d>)> = None;
    let mut failed = None;
    for partition in all {
        if !partition.filesystem.is_some_and(Filesystem::can_be_root) {
            continue;
        }
        match look(disk, partition, scratch) {
            Ok(Some((found, root))) => {
                let better = best.as_ref().is_none_or(|(system_match, size, _)| {
                    (found, partition.size) > (*system_match, *size)
                });
                if better {
                    best = Some((found, partition.size, root));
                }
            }
            Ok(None) => {}
            Err(e) => failed = Some(e.context(format!("partition {}", partition.number))),
        }
    }
    match (best, failed) {
        (Some((_, _, root)), _) => Ok(root),
        (None, Some(error)) => Err(error),
        (None, None) => Err(no_system(disk, all, scratch)),
    }
}

/// Returns the error for a disk without a system, which lists the contents of its partitions.
fn no_system(disk: &Disk, all: &[Partition], scratch: &Path) -> anyhow::Error {
    let other = all.iter().find_map(|partition| {
        partition.filesystem.filter(|f| f.can_be_root())?;
        let view = disk.view(partition, "", scratch).ok()?;
        other_kind(&|path| view.has(path))
    });
    let named: Vec<String> = all
        .iter()
        .filter_map(|partition| {
            let what = match (partition.filesystem, partition.container) {
                (Some(Filesystem::Fat), _) => "a FAT",
                (None, Some(container)) => container.what,
                _ => return None,
            };
            Some(match partition.number {
                0 => format!("it holds {what}"),
                number => format!("partition {number} holds {what}"),
            })
        })
        .take(NAMED)
        .collect();
    let why = match (other, named.is_empty()) {
        (Some((what, _)), _) => what.to_string(),
        (None, true) => "none of its partitions has os-release or a shell".to_string(),
        (None, false) => named.join(", "),
    };
    let failure = Failure::failed(format!(
        "it is a disk without an operating system netbe can read: {why}"
    ));
    let mut held = all.iter().filter_map(|p| p.container?.remedy);
    match held.next() {
        Some(remedy) => failure.hint(remedy).into(),
        None => failure.into(),
    }
}

fn look<'d>(
    disk: &Disk,
    partition: &'d Partition,
    scratch: &Path,
) -> Result<Option<(SystemMatch, Root<'d>)>> {
    let found = |options, at, system_match| {
        let root = Root {
            partition,
            options,
            at,
        };
        Some((system_match, root))
    };
    {
        let view = disk.view(partition, "", scratch)?;
        if let Some(system_match) = system_match(&|path| view.has(path), "")? {
            return Ok(found("", "", system_match));
        }
    }
    if partition.filesystem != Some(Filesystem::Btrfs) {
        return Ok(None);
    }
    let view = disk.view(partition, BTRFS_TOP, scratch)?;
    for at in ROOT_SUBVOLUMES {
        if let Some(system_match) = system_match(&|path| view.has(path), at)? {
            return Ok(found(BTRFS_TOP, at, system_match));
        }
    }
    Ok(None)
}

/// Finds the partition with the boot half: what fstab names, else the one that can only be it.
pub(super) fn find_boot<'d>(
    disk: &Disk,
    all: &'d [Partition],
    root: &Partition,
    fstab: &str,
    boot_mount: Option<&str>,
) -> Result<Option<&'d Partition>> {
    let lines = entries(fstab);
    let names = DiskNames::new(&lines, root.number);
    if let Some(line) = lines
        .iter()
        .find(|line| Some(line.file.as_str()) == boot_mount && line.is_on_disk())
        && let Some(partition) = names.partition(all, line)
    {
        return Ok(Some(partition));
    }
    let elsewhere = |p: &Partition| {
        lines.iter().any(|line| {
            Some(line.file.as_str()) != boot_mount
                // Alpine on a Raspberry Pi has the firmware's at /media/mmcblk0p1.
                && !line.file.starts_with("/media/")
                && names.partition(all, line).is_some_and(|named| named.number == p.number)
        })
    };
    let mut fats: Vec<&Partition> = Vec::new();
    for fat in all {
        // A table and an fstab can have thousands of lines each.
        interrupt::check()?;
        let is_fat = fat.number != root.number && fat.filesystem == Some(Filesystem::Fat);
        if is_fat && !elsewhere(fat) {
            fats.push(fat);
        }
    }
    if boot_mount.is_some()
        && let [only] = fats[..]
    {
        return Ok(Some(only));
    }
    // No line of fstab names it: only firmware files distinguish it from an EFI system partition.
    for fat in fats {
        if disk
            .fat_names(fat)?
            .iter()
            .any(|name| boot_half::is_firmware_file(name))
        {
            return Ok(Some(fat));
        }
    }
    Ok(None)
}
