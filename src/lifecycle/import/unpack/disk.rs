//! A system brought in from a disk image: which partition is its root, which its boot half, and what else it mounts.
//!
//! The root is the partition that looks most like a system; what the others are is what its own fstab says.

use std::fs::File;

use anyhow::{Context, Result};

use super::disk_file::Disk;
use super::filesystem::BTRFS_TOP;
use super::partitions::{Root, find_boot, find_root, is_named};
use super::{Progress, Target, boot_half, counting};
use crate::boot::fstab::{self, Entry};
use crate::btrfs::removal;
use crate::formats::disk_image::{Filesystem, Partition, copy_fat, partitions};
use crate::fs::interrupt;

/// Copies a system out of its partitions, and returns where the boot half is mounted if it has one of its own.
pub(super) fn unpack(
    disk: &Disk,
    boot_given: bool,
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<Option<String>> {
    let all = partitions(&disk.file, disk.size)?;
    let root = find_root(disk, &all, &target.scratch)?;
    progress.phase("copying the root partition");
    disk.view(root.partition, root.options, &target.scratch)?
        .copy(root.at, &target.root, progress, notes)?;
    let text = boot_half::fstab(&target.root_tree)?;
    let boot_mount = fstab::boot_mount(&text);
    let boot = if boot_given {
        None
    } else {
        find_boot(disk, &all, root.partition, &text, boot_mount.as_deref())?
    };
    carry_others(
        disk,
        &all,
        &root,
        &fstab::entries(&text),
        target,
        progress,
        notes,
    )?;
    let Some(boot) = boot else {
        return Ok(None);
    };
    let boot_mount = match boot_mount {
        Some(place) => place,
        None => boot_half::usual_mount(&target.root_tree)?.to_string(),
    };
    progress.phase("copying the boot partition");
    copy_partition(disk, boot, "", &target.boot, target, progress, notes)?;
    let place = boot_half::directory_for(&target.root_tree, &boot_mount)?;
    // What lies under a mount point is never seen by the system.
    boot_half::empty(&place, &boot_mount)?;
    Ok(Some(boot_mount))
}

/// Copies what else the system mounts from the same disk: `/home` on a partition or in a subvolume of its own.
fn carry_others(
    disk: &Disk,
    all: &[Partition],
    root: &Root<'_>,
    lines: &[Entry],
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<()> {
    for line in lines {
        interrupt::check()?;
        let boot = ["/", "/boot/firmware", "/boot", "/boot/efi", "/efi"];
        let swap = !line.file.starts_with('/');
        if swap || boot.contains(&line.file.as_str()) {
            continue;
        }
        let Some(partition) = all.iter().find(|p| is_named(p, &line.spec)) else {
            continue;
        };
        let subvolume = match partition.filesystem {
            Some(Filesystem::Btrfs) => line.option("subvol").unwrap_or_default(),
            _ => "",
        };
        let subvolume = subvolume.trim_matches('/').to_string();
        let same = partition.number == root.partition.number;
        if same && (subvolume.is_empty() || subvolume == root.at) {
            continue;
        }
        progress.phase(&format!("copying {}", line.file));
        let place = boot_half::directory_for(&target.root_tree, &line.file)?;
        removal::empty(&place).with_context(|| format!("emptying {}", line.file))?;
        copy_partition(disk, partition, &subvolume, &place, target, progress, notes)?;
        notes.push(format!(
            "{}, a filesystem of its own in the image, carried along as a directory",
            line.file
        ));
    }
    Ok(())
}

fn copy_partition(
    disk: &Disk,
    partition: &Partition,
    subvolume: &str,
    to: &File,
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<()> {
    match partition.filesystem {
        Some(Filesystem::Fat) => {
            let mut tick = counting(progress, Some(partition.size));
            copy_fat(&disk.file, partition.start, partition.size, to, &mut tick)
        }
        _ => {
            let options = if subvolume.is_empty() { "" } else { BTRFS_TOP };
            let view = disk.view(partition, options, &target.scratch)?;
            view.copy(subvolume, to, progress, notes)
        }
    }
}
