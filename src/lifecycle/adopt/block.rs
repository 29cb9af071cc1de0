//! Where GRUB can write on this machine: for boots for once, which it has to forget before it boots.
//!
//! GRUB writes by the numbers of sectors, in place. So the file is on no filesystem that copies on write, and on a partition
//! itself: on no RAID, no LVM, and nothing encrypted. Reads only.

use std::process::Command;

use super::installed_loader::uuid_of;
use super::machine::Mounted;
use crate::pool::record::Block;

/// The filesystems that GRUB writes to, which are mounted at one of these places.
const PLACES: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// Returns where it is; `None` where there is nothing that GRUB can write to.
pub(super) fn find(mounted_at: impl Fn(&str) -> Option<Mounted>) -> Option<Block> {
    PLACES.iter().find_map(|place| {
        let mounted = mounted_at(place)?;
        let file = match mounted.kind.as_str() {
            "vfat" => "EFI/netbe/grubenv",
            "ext2" | "ext3" | "ext4" => "grub/netbe.env",
            _ => return None,
        };
        if !is_partition(place) {
            return None;
        }
        let filesystem = uuid_of(&mounted)?;
        Some(Block {
            filesystem,
            kind: mounted.kind,
            file: file.to_string(),
        })
    })
}

/// Returns whether GRUB finds a place's filesystem without anything between.
fn is_partition(place: &str) -> bool {
    ["grub-probe", "grub2-probe"].iter().any(|program| {
        let probe = Command::new(program)
            .args(["--target=abstraction", place])
            .output();
        probe.is_ok_and(|o| o.status.success() && o.stdout.trim_ascii().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copies_on_write_is_no_place() {
        let mounted = |kind: &str| Mounted {
            at: "/boot".into(),
            root: String::new(),
            kind: kind.to_string(),
            device: "/dev/none".into(),
        };
        for kind in ["btrfs", "xfs", "f2fs", "zfs"] {
            assert_eq!(find(|_| Some(mounted(kind))), None, "{kind}");
        }
        assert_eq!(find(|_| None), None);
    }
}
