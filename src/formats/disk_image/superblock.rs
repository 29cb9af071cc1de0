//! Detects a partition's filesystem by its superblock, with UUID and label.
//!
//! Pure: takes a partition's first bytes (72 KiB are enough). Offsets: the kernel's headers.

use crate::hex;

/// A filesystem that netbe can read, or have the kernel read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// ext2, ext3 or ext4.
    Ext,
    /// btrfs.
    Btrfs,
    /// XFS.
    Xfs,
    /// F2FS.
    F2fs,
    /// SquashFS.
    Squashfs,
    /// EROFS.
    Erofs,
}

impl Filesystem {
    /// Detects the filesystem by the first bytes of a partition.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|b| b.starts_with(magic));
        if at(0x10040, b"_BHRfS_M") {
            Some(Self::Btrfs)
        } else if at(0, b"XFSB") {
            Some(Self::Xfs)
        } else if at(0, b"hsqs") {
            Some(Self::Squashfs)
        } else if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
            Some(Self::Erofs)
        } else if at(1024, &[0x10, 0x20, 0xf5, 0xf2]) {
            Some(Self::F2fs)
        } else if at(1080, &[0x53, 0xef]) {
            Some(Self::Ext)
        } else if is_fat(head) {
            Some(Self::Fat)
        } else {
            None
        }
    }

    /// Returns whether an operating system can use it as its root.
    pub fn can_be_root(self) -> bool {
        self != Self::Fat
    }

    /// Returns the types to mount it as, the likeliest first; empty if the kernel is not to read it.
    pub fn mount_types(self) -> &'static [&'static str] {
        match self {
            Self::Fat => &[],
            // The ext4 driver reads all three, but may be configured not to.
            Self::Ext => &["ext4", "ext3", "ext2"],
            Self::Btrfs => &["btrfs"],
            Self::Xfs => &["xfs"],
            Self::F2fs => &["f2fs"],
            Self::Squashfs => &["squashfs"],
            Self::Erofs => &["erofs"],
        }
    }

    /// Returns the filesystem's `UUID=` as in fstab, where known.
    pub fn uuid(self, head: &[u8]) -> Option<String> {
        let offset = match self {
            Self::Fat => return fat_serial(head),
            Self::Ext => 1024 + 104,
            Self::Btrfs => 0x10020,
            Self::Xfs => 32,
            Self::F2fs => 1024 + 108,
            Self::Squashfs => return None,
            Self::Erofs => 1024 + 48,
        };
        Some(hex::uuid(head.get(offset..)?.first_chunk()?))
    }

    /// Returns the filesystem's `LABEL=`, if it has one in its superblock.
    pub fn label(self, head: &[u8]) -> Option<String> {
        let (offset, length) = match self {
            Self::Fat if is_fat32(head) => (71, 11),
            Self::Fat => (43, 11),
            Self::Ext => (1024 + 120, 16),
            Self::Btrfs => (0x1012b, 256),
            Self::Xfs => (108, 12),
            _ => return None,
        };
        let bytes = head.get(offset..offset + length)?;
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text).trim_end().to_string();
        (!text.is_empty() && text != "NO NAME").then_some(text)
    }
}

/// FAT has no magic number: its parameters must be valid.
fn is_fat(head: &[u8]) -> bool {
    let Some(sector) = head.get(..512) else {
        return false;
    };
    let bytes = u16::from_le_bytes([sector[11], sector[12]]);
    let reserved = u16::from_le_bytes([sector[14], sector[15]]);
    let jumps = matches!(sector[0], 0xeb | 0xe9);
    jumps
        && sector[510..] == [0x55, 0xaa]
        && matches!(bytes, 512 | 1024 | 2048 | 4096)
        && sector[13].is_power_of_two()
        && reserved > 0
        && matches!(sector[16], 1 | 2)
        && matches!(sector[21], 0xf0 | 0xf8..=0xff)
}

fn is_fat32(head: &[u8]) -> bool {
    head.get(22..24) == Some(&[0, 0])
}

fn fat_serial(head: &[u8]) -> Option<String> {
    let offset = if is_fat32(head) { 67 } else { 39 };
    let b = head.get(offset..offset + 4)?;
    Some(format!("{:02X}{:02X}-{:02X}{:02X}", b[3], b[2], b[1], b[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_text_are_not_a_filesystem() {
        assert_eq!(Filesystem::detect(&[]), None);
        assert_eq!(Filesystem::detect(&[0; 73728]), None);
        assert_eq!(Filesystem::detect(&[b'x'; 73728]), None);
    }

    #[test]
    fn fat_is_detected_by_its_parameters() {
        let mut sector = vec![0; 512];
        sector[0] = 0xeb;
        sector[11..13].copy_from_slice(&512u16.to_le_bytes());
        sector[13] = 8;
        sector[14] = 32;
        sector[16] = 2;
        sector[21] = 0xf8;
        sector[67..71].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        sector[71..82].copy_from_slice(b"BOOTFS     ");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let found = Filesystem::detect(&sector);
        assert_eq!(found, Some(Filesystem::Fat));
        assert_eq!(Filesystem::Fat.uuid(&sector).as_deref(), Some("1234-5678"));
        assert_eq!(Filesystem::Fat.label(&sector).as_deref(), Some("BOOTFS"));
        sector[13] = 3;
        assert_eq!(Filesystem::detect(&sector), None);
    }
}
