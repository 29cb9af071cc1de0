//! Where GRUB can write on this machine: for boots for once, which it has to forget before it boots.
//!
//! GRUB writes by the numbers of sectors, in place. So the file is on no filesystem that copies on write, and on a partition
//! itself: on no RAID, no LVM, and nothing encrypted. Reads only.

use anyhow::Result;

use super::machine::Mounted;
use super::probe;
use crate::pool::record::Block;

/// The filesystems that GRUB writes to, which are mounted at one of these places.
const PLACES: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// Returns where it is; `None` where there is nothing that GRUB can write to.
pub(super) fn find(mounted_at: impl Fn(&str) -> Option<Mounted>) -> Result<Option<Block>> {
    for place in PLACES {
        let Some(mounted) = mounted_at(place) else {
            continue;
        };
        let file = match mounted.kind.as_str() {
            "vfat" => "EFI/netbe/grubenv",
            "ext2" | "ext3" | "ext4" => "grub/netbe.env",
            _ => continue,
        };
        // Nothing is between.
        if probe::abstraction(place)?.as_deref() != Some("") {
            continue;
        }
        if let Some(filesystem) = probe::uuid_of(&mounted)? {
            return Ok(Some(Block {
                filesystem,
                kind: mounted.kind,
                file: file.to_string(),
            }));
        }
    }
    Ok(None)
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
            assert_eq!(find(|_| Some(mounted(kind))).unwrap(), None, "{kind}");
        }
        assert_eq!(find(|_| None).unwrap(), None);
    }
}
