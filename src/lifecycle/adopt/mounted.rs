//! The mount at a path of this machine, by proc_pid_mountinfo(5). Pure.

use std::path::{Path, PathBuf};

use crate::fs::octal;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// The mount point.
    pub at: PathBuf,
    /// The mounted subtree, as a path from the filesystem's top level, without the leading slash.
    pub root: String,
    /// Its type.
    pub kind: String,
    /// Its device.
    pub device: PathBuf,
}

/// Returns the visible mount at a path, from the text of a mount table: the last one covers the others.
pub(super) fn mounted_at(table: &str, place: &str) -> Option<Mounted> {
    table
        .lines()
        .filter_map(mounted)
        .rfind(|m| m.at == Path::new(place))
}

fn mounted(line: &str) -> Option<Mounted> {
    let (own, of_filesystem) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(3);
    let root = octal::path(own.next()?);
    let at = octal::path(own.next()?);
    let mut rest = of_filesystem.split(' ');
    let kind = rest.next()?.to_string();
    Some(Mounted {
        at,
        root: root.to_str()?.trim_matches('/').to_string(),
        kind,
        device: octal::path(rest.next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 0:20 / / rw - rootfs rootfs rw
24 22 0:25 /@ / rw,relatime shared:1 - btrfs /dev/vda2 rw,space_cache=v2,subvolid=256,subvol=/@
30 24 0:26 /@home /home rw - btrfs /dev/vda2 rw,subvol=/@home
31 24 254:1 / /boot rw - ext4 /dev/vda1 rw
32 24 0:27 /a\\040b /mnt/a\\040b rw master:1 - btrfs /dev/mapper/x rw
";

    #[test]
    fn the_last_mount_of_a_place_counts() {
        let root = mounted_at(TABLE, "/").unwrap();
        assert_eq!((root.root.as_str(), root.kind.as_str()), ("@", "btrfs"));
        assert_eq!(root.device, Path::new("/dev/vda2"));
        assert_eq!(mounted_at(TABLE, "/boot").unwrap().root, "");
        assert_eq!(mounted_at(TABLE, "/mnt/a b").unwrap().root, "a b");
        assert_eq!(mounted_at(TABLE, "/srv"), None);
    }
}
