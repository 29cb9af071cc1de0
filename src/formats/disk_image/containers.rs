//! Detects other content of a partition or disk than a filesystem that netbe reads: volumes, encryption, arrays, swap, nothing.
//!
//! Pure: takes the first bytes, as [`Filesystem::detect`](super::Filesystem::detect) does. For errors that name the
//! content and a remedy; not for reading it.

/// A detected type of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    /// Its name in a sentence, with an article.
    pub what: &'static str,
    /// Commands that make its content importable; FILE stands for the image or disk.
    pub remedy: Option<&'static str>,
}

const LVM: &str =
    "losetup -fP --show FILE; vgchange -ay; mount -o ro /dev/VG/ROOT /mnt; netbe import NODE /mnt";
const LUKS: &str = "losetup -fP --show FILE; cryptsetup open /dev/LOOP-PARTITION root; \
    mount -o ro /dev/mapper/root /mnt; netbe import NODE /mnt";
const MD: &str = "losetup -fP --show FILE; mdadm --assemble --scan; mount -o ro /dev/md/NAME /mnt; \
    netbe import NODE /mnt";
const ZFS: &str =
    "losetup -fP --show FILE; zpool import -o readonly=on -R /mnt POOL; netbe import NODE /mnt";
const MOUNT: &str =
    "losetup -fP --show FILE; mount -o ro /dev/LOOP-PARTITION /mnt; netbe import NODE /mnt";

/// The offset of a magic number, the number, the type of content, and the remedy.
type Magic = (usize, &'static [u8], &'static str, Option<&'static str>);

const MAGICS: [Magic; 20] = [
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)", Some(LUKS)),
    (3, b"-FVE-FS-", "an encrypted volume (BitLocker)", None),
    (
        0,
        b"\xfc\x4e\x2b\xa9",
        "a member of a RAID array (md)",
        Some(MD),
    ),
    (
        4096,
        b"\xfc\x4e\x2b\xa9",
        "a member of a RAID array (md)",
        Some(MD),
    ),
    (4086, b"SWAPSPACE2", "swap space", None),
    (4086, b"SWAP-SPACE", "swap space", None),
    (8182, b"SWAPSPACE2", "swap space", None),
    (16374, b"SWAPSPACE2", "swap space", None),
    (65526, b"SWAPSPACE2", "swap space", None),
    (65526, b"SWAP-SPACE", "swap space", None),
    (
        4096 + 24,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca",
        "a bcachefs",
        Some(MOUNT),
    ),
    (
        4096 + 24,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9",
        "a bcachefs",
        Some(MOUNT),
    ),
    (32768, b"JFS1", "a JFS", Some(MOUNT)),
    (65588, b"ReIsEr", "a ReiserFS", Some(MOUNT)),
    (1030, b"\x34\x34", "a NILFS2", Some(MOUNT)),
    (3, b"NTFS    ", "an NTFS, a filesystem of Windows", None),
    (
        3,
        b"EXFAT   ",
        "an exFAT, which holds no Linux system",
        None,
    ),
    (32, b"NXSB", "an APFS, a filesystem of macOS", None),
    (1024, b"H+\x00\x04", "an HFS+, a filesystem of macOS", None),
    (0, b"verity\0\0", "the checksums of dm-verity", None),
];

impl Container {
    /// Recognises the first bytes of a partition or disk.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|b| b.starts_with(magic));
        let found = |what, remedy| Some(Self { what, remedy });
        // The label is in one of the first four sectors: lvm2's label.c.
        let lvm =
            |sector: usize| at(sector * 512, b"LABELONE") && at(sector * 512 + 24, b"LVM2 001");
        if (0..4).any(lvm) {
            return found("a physical volume of LVM", Some(LVM));
        }
        for (offset, magic, what, remedy) in MAGICS {
            if at(offset, magic) {
                return found(what, remedy);
            }
        }
        if is_zfs(head) {
            return found("a member of a ZFS pool", Some(ZFS));
        }
        match head.len() >= 512 && head.iter().all(|byte| *byte == 0) {
            true => found("nothing (zeros, as on an empty disk)", None),
            false => None,
        }
    }
}

/// Returns whether a disk begins with a label of ZFS: at 16 KiB, a list of names and values in XDR, with these names.
fn is_zfs(head: &[u8]) -> bool {
    let Some(list) = head.get(16 << 10..).filter(|list| list.starts_with(&[1])) else {
        return false;
    };
    let names = &list[..list.len().min(8 << 10)];
    let has = |name: &[u8]| names.windows(name.len()).any(|found| found == name);
    has(b"pool_guid") && has(b"vdev_tree")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = vec![0x11; 72 << 10];
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn containers_that_are_not_filesystems_are_named() {
        let lvm = b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0 \0\0\0LVM2 001";
        let zfs = b"\x01\x01\0\0\0\0\0\0version..name..pool_guid..vdev_tree..";
        for (head, what) in [
            (with(512, lvm), "LVM"),
            (with(3 * 512, lvm), "LVM"),
            (with(0, b"LUKS\xba\xbe\0\x02"), "LUKS"),
            (with(4096, b"\xfc\x4e\x2b\xa9"), "md"),
            (with(16 << 10, zfs), "ZFS"),
            (with(4086, b"SWAPSPACE2"), "swap"),
            (with(65526, b"SWAPSPACE2"), "swap"),
            (vec![0; 72 << 10], "zeros"),
            (with(3, b"NTFS    "), "NTFS"),
        ] {
            let found = Container::detect(&head).unwrap();
            assert!(found.what.contains(what), "{found:?}");
        }
        assert_eq!(Container::detect(&with(0, b"")), None);
        assert_eq!(Container::detect(&with(4 * 512, lvm)), None);
    }
}
