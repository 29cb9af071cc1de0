//! A system brought in from a disk image: which partition is its root, which its boot half, and what else it mounts.
//!
//! The root is the partition that looks most like a system; what the others are is what its own fstab says.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::filesystem::{BTRFS_TOP, Reading, View};
use super::partitions::{Root, find_boot, find_root, is_named};
use super::{Driver, Progress, Target, boot_half, counting};
use crate::boot::fstab::{self, Entry};
use crate::formats::disk_image::{Access, Filesystem, Partition, copy_fat, fat_names, partitions};
use crate::fs::copy;

/// A disk image, or a disk.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    reading: Reading,
    size: u64,
}

impl Disk {
    /// Takes an image that was written out here.
    pub(super) fn own(file: File, driver: Driver) -> Result<Self> {
        Self::new(file, Access::Own, driver)
    }

    /// Takes an image or a block device that belongs to somebody else.
    pub(super) fn foreign(file: File, driver: Driver) -> Result<Self> {
        Self::new(file, Access::Foreign, driver)
    }

    fn new(mut file: File, access: Access, driver: Driver) -> Result<Self> {
        let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        let reading = Reading { access, driver };
        Ok(Self {
            file,
            reading,
            size,
        })
    }

    /// Returns the names at the top of a FAT partition.
    pub(super) fn fat_names(&self, partition: &Partition) -> Result<Vec<String>> {
        fat_names(&self.file, partition.start, partition.size)
    }

    /// Opens one of its filesystems. `options` are the kernel's, where that is to read it.
    pub(super) fn view(
        &self,
        partition: &Partition,
        options: &str,
        scratch: &Path,
    ) -> Result<View<'_>> {
        View::open(&self.file, self.reading, partition, options, scratch)
    }
}

/// Copies a system out of its partitions, and returns where the boot half is mounted if it has one of its own.
pub(super) fn bring(
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
        copy::clear(&place).with_context(|| format!("emptying {}", line.file))?;
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
