//! Importing a disk image: its root partition, its boot half, and other filesystems that it mounts.
//!
//! The root is the partition that looks most like a system; its fstab determines the others.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::disk_file::Disk;
use super::disk_names::DiskNames;
use super::filesystem::BTRFS_TOP;
use super::partitions::{Root, find_boot, find_root};
use super::{Progress, Target, boot_half, counting};
use crate::boot::fstab::{self, Entry};
use crate::btrfs::removal;
use crate::formats::disk_image::{Filesystem, Partition, copy_fat, partitions};
use crate::fs::interrupt;

/// Copies a system out of its partitions; returns the mount point of the boot half if that is a partition.
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
    let others = Others {
        disk,
        all: &all,
        root: &root,
        boot: boot.map(|boot| boot.number),
        target,
    };
    others.carry(&fstab::entries(&text), progress, notes)?;
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
    // The content below a mount point is hidden from the system.
    boot_half::empty(&place, &boot_mount)?;
    Ok(Some(boot_mount))
}

/// Looks for the root of a disk that netbe reads itself, which takes no scratch directory.
pub(super) fn foresee(disk: &Disk) -> Result<()> {
    let all = partitions(&disk.file, disk.size)?;
    find_root(disk, &all, Path::new("/")).map(drop)
}

/// The other filesystems that the system mounts from the same disk: `/home` on a partition or in a subvolume of its own.
struct Others<'d> {
    disk: &'d Disk,
    all: &'d [Partition],
    root: &'d Root<'d>,
    /// The number of the boot half's partition.
    boot: Option<u32>,
    target: &'d Target,
}

impl Others<'_> {
    /// Copies a filesystem, or notes that it was not copied since it is on no partition of the disk.
    fn carry(
        &self,
        lines: &[Entry],
        progress: &mut dyn Progress,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let names = DiskNames::new(lines, self.root.partition.number);
        let mut carried = Vec::new();
        for line in lines {
            interrupt::check()?;
            let boot = ["/", "/boot/firmware", "/boot", "/boot/efi", "/efi"];
            let swap = !line.file.starts_with('/');
            if swap || boot.contains(&line.file.as_str()) {
                continue;
            }
            match names.partition(self.all, line) {
                Some(partition) if Some(partition.number) == self.boot => {}
                Some(partition) if partition.filesystem.is_some() => {
                    self.carry_one(line, partition, progress, notes)?;
                    carried.push(partition.number);
                }
                _ if line.waits_for_disk() => notes.push(format!(
                    "the system's {} was not imported: {} is not a filesystem on a partition of the image",
                    line.file, line.spec
                )),
                _ => {}
            }
        }
        for partition in self.all {
            interrupt::check()?;
            if !carried.contains(&partition.number)
                && let Some(what) = self.left_out(partition)
            {
                notes.push(format!(
                    "partition {} of the image, {what}, was not imported: no line of the system's fstab mounts it",
                    partition.number
                ));
            }
        }
        Ok(())
    }

    /// Returns the content of a partition that is neither the root nor the boot half, nor that of a loader.
    fn left_out(&self, partition: &Partition) -> Option<&'static str> {
        let number = partition.number;
        if number == self.root.partition.number || Some(number) == self.boot {
            return None;
        }
        match (partition.filesystem, partition.container) {
            (Some(Filesystem::Fat), _) => {
                let names = self.disk.fat_names(partition).unwrap_or_default();
                let is_efi = names.iter().any(|name| name.eq_ignore_ascii_case("efi"));
                (!is_efi && !names.is_empty()).then_some("vfat")
            }
            (Some(filesystem), _) => filesystem.mount_types().first().copied(),
            // Swap space and the like hold no data to keep.
            (None, Some(container)) => container.remedy.and(Some(container.what)),
            (None, None) => None,
        }
    }

    fn carry_one(
        &self,
        line: &Entry,
        partition: &Partition,
        progress: &mut dyn Progress,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let subvolume = match partition.filesystem {
            Some(Filesystem::Btrfs) => line.option("subvol").unwrap_or_default(),
            _ => "",
        };
        let subvolume = subvolume.trim_matches('/').to_string();
        let same = partition.number == self.root.partition.number;
        if same && (subvolume.is_empty() || subvolume == self.root.at) {
            return Ok(());
        }
        progress.phase(&format!("copying {}", line.file));
        let place = boot_half::directory_for(&self.target.root_tree, &line.file)?;
        removal::empty(&place).with_context(|| format!("emptying {}", line.file))?;
        copy_partition(
            self.disk,
            partition,
            &subvolume,
            &place,
            self.target,
            progress,
            notes,
        )?;
        notes.push(format!(
            "{}, a separate filesystem in the image, copied as a directory",
            line.file
        ));
        Ok(())
    }
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
