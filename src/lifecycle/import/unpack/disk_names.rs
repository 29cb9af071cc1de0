//! Finds the partition of an image that a line of the system's fstab names.
//!
//! By tags of partition and filesystem (`UUID=`, `PARTUUID=`, …), or by the device name that the disk had on the machine
//! (`/dev/mmcblk0p3`). A device name is accepted if it is on the disk of the root's line, or, if that has a tag, on the
//! first disk of its kind. Not for LVM, md and LUKS.

use crate::boot::fstab::Entry;
use crate::formats::disk_image::{Filesystem, Partition};

/// The first disk of each kind.
const FIRST: [&str; 7] = ["mmcblk0", "mmcblk1", "nvme0n1", "sda", "vda", "xvda", "hda"];

/// The device name of an image's disk in its fstab.
#[derive(Debug)]
pub(super) struct DiskNames {
    /// The disk in the line of the root.
    disk: Option<String>,
    /// The only disk in the fstab.
    only: Option<String>,
}

impl DiskNames {
    /// Determines the name from the lines of an fstab and the number of the root's partition.
    pub(super) fn new(lines: &[Entry], root: u32) -> Self {
        let root_line = lines.iter().find(|line| line.file == "/");
        let disk = root_line
            .and_then(|line| device(&line.spec))
            .filter(|(_, number)| *number == root);
        let mut all: Vec<&str> = lines
            .iter()
            .filter_map(|line| Some(device(&line.spec)?.0))
            .collect();
        all.sort_unstable();
        all.dedup();
        Self {
            disk: disk.map(|(disk, _)| disk.to_string()),
            only: match all[..] {
                [only] => Some(only.to_string()),
                _ => None,
            },
        }
    }

    /// Returns the partition that a line names.
    pub(super) fn partition<'d>(
        &self,
        all: &'d [Partition],
        line: &Entry,
    ) -> Option<&'d Partition> {
        if let Some(found) = all.iter().find(|p| is_named(p, &line.spec)) {
            return Some(found);
        }
        let (disk, number) = device(&line.spec)?;
        let ours = match &self.disk {
            Some(root) => root == disk,
            None if disk.starts_with("disk/") => self.only.as_deref() == Some(disk),
            None => FIRST.contains(&disk),
        };
        all.iter()
            .find(|p| ours && p.number == number && fits(p.filesystem, &line.fstype))
    }
}

/// Returns the disk and the partition number in a device path.
fn device(spec: &str) -> Option<(&str, u32)> {
    let path = spec.strip_prefix("/dev/")?;
    let digits = path.len() - path.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (disk, number) = path.split_at(path.len() - digits);
    let number = number.parse().ok().filter(|n| *n > 0)?;
    let disk = if let Some(disk) = disk
        .strip_suffix("-part")
        .filter(|d| d.starts_with("disk/by-"))
    {
        disk
    } else if let Some(disk) = disk
        .strip_suffix('p')
        .filter(|d| d.ends_with(|c: char| c.is_ascii_digit()))
    {
        disk
    } else {
        let plain = ["sd", "vd", "xvd", "hd"];
        let letters = disk.chars().all(|c| c.is_ascii_lowercase());
        (letters && plain.iter().any(|p| disk.starts_with(p))).then_some(disk)?
    };
    Some((disk, number))
}

/// Returns whether a partition can have the filesystem type of a line.
fn fits(found: Option<Filesystem>, fstype: &str) -> bool {
    let Some(found) = found else {
        return false;
    };
    match fstype {
        "auto" => true,
        "ext2" | "ext3" | "ext4" => found == Filesystem::Ext,
        "vfat" | "msdos" | "fat" => found == Filesystem::Fat,
        other => found.mount_types().contains(&other),
    }
}

/// Returns whether the first field of an fstab line names a partition by a tag.
fn is_named(partition: &Partition, what: &str) -> bool {
    let Some((key, value)) = what.split_once('=') else {
        return what
            .strip_prefix("/dev/disk/by-")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(key, value)| {
                is_named(partition, &format!("{}={value}", key.to_uppercase()))
            });
    };
    let is = |name: &Option<String>| name.as_deref() == Some(value);
    let is_nearly =
        |name: &Option<String>| name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(value));
    match key {
        "PARTUUID" => is_nearly(&partition.part_uuid),
        "UUID" => is_nearly(&partition.uuid),
        "LABEL" => is(&partition.label),
        "PARTLABEL" => is(&partition.part_label),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::fstab::entries;

    fn partition(number: u32, filesystem: Filesystem) -> Partition {
        Partition {
            number,
            start: 0,
            size: 0,
            part_uuid: Some(format!("aabbccdd-{number:02x}")),
            part_label: Some(format!("part{number}")),
            filesystem: Some(filesystem),
            container: None,
            uuid: Some(format!("ABCD-{number:04}")),
            label: Some(format!("label{number}")),
        }
    }

    #[test]
    fn a_line_means_a_partition_however_it_names_it() {
        let all = [
            partition(1, Filesystem::Fat),
            partition(2, Filesystem::Ext),
            partition(3, Filesystem::Ext),
        ];
        for (root, spec, expected) in [
            ("PARTUUID=aabbccdd-02", "PARTUUID=AABBCCDD-03", Some(3)),
            ("UUID=x", "/dev/disk/by-label/label3", Some(3)),
            ("UUID=x", "/dev/disk/by-partlabel/part3", Some(3)),
            ("UUID=x", "/dev/mmcblk0p3", Some(3)),
            ("UUID=x", "/dev/sda3", Some(3)),
            ("UUID=x", "/dev/nvme0n1p3", Some(3)),
            ("UUID=x", "/dev/disk/by-path/platform-x-part3", Some(3)),
            ("/dev/sdb2", "/dev/sdb3", Some(3)),
            // Another disk's, or none there is.
            ("/dev/sda2", "/dev/sdb3", None),
            ("UUID=x", "/dev/sdb3", None),
            ("UUID=x", "/dev/sda4", None),
            ("UUID=x", "/dev/sda1", None),
            ("UUID=x", "/dev/mapper/vg-home3", None),
            ("UUID=x", "/dev/md3", None),
            ("UUID=x", "nas:/home3", None),
        ] {
            let lines = entries(&format!("{root} / ext4\n{spec} /home ext4\n"));
            let names = DiskNames::new(&lines, 2);
            let found = names.partition(&all, &lines[1]).map(|p| p.number);
            assert_eq!(found, expected, "{root} {spec}");
        }
    }

    #[test]
    fn a_boot_partition_is_found_by_its_path() {
        let all = [partition(1, Filesystem::Fat), partition(2, Filesystem::Ext)];
        let lines = entries("/dev/mmcblk0p2 / ext4\n/dev/mmcblk0p1 /boot vfat\n");
        let names = DiskNames::new(&lines, 2);
        assert_eq!(names.partition(&all, &lines[1]).map(|p| p.number), Some(1));
    }
}
