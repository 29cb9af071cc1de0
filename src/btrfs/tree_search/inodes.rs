//! Parses the items of an inode: the inode itself, directory entries, extended attributes.
//!
//! As in [`items`](super::items) every length is checked, and malformed bytes are `None`. Pure.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use jiff::Timestamp;

use super::items::{INODE_ITEM, array, word};

/// Item with extended attributes; the key's offset is a hash of their names.
pub const XATTR_ITEM: u8 = 24;
/// Item with directory entries; the key's offset is [`name_hash`] of their names.
pub const DIR_ITEM: u8 = 84;
/// Item of an extent in the extent tree; the key's offset is the size on disk.
pub const EXTENT_ITEM: u8 = 168;

/// The extent tree (`BTRFS_EXTENT_TREE_OBJECTID`, btrfs_tree.h).
pub const EXTENT_TREE: u64 = 2;

/// The fields of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// The transaction of its creation: distinguishes it from an earlier inode of the same number.
    pub made: u64,
    /// The transaction of its last change: content, attributes, or a directory's entries.
    pub transaction: u64,
    /// Size in bytes.
    pub size: u64,
    /// Number of hard links.
    pub links: u32,
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Major and minor device number.
    pub device: (u32, u32),
    /// Flags (`BTRFS_INODE_*`, btrfs_tree.h).
    pub flags: u64,
    /// The time of its last change, by the clock; reading does not set it, unlike `transaction`.
    pub changed: Timestamp,
}

impl Inode {
    /// Returns whether data is overwritten in place, so that changes do not show in its extents (`chattr +C`).
    pub fn is_in_place(&self) -> bool {
        self.flags & (1 << 1) != 0
    }

    /// Returns whether it is a directory.
    pub fn is_directory(&self) -> bool {
        const KIND: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        self.mode & KIND == DIRECTORY
    }
}

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// Inode number; `None` for a nested subvolume.
    pub inode: Option<u64>,
    /// Whether it is a directory; so is another subvolume.
    pub is_directory: bool,
    /// The transaction in which the name was given.
    pub named: u64,
}

/// Parses an item of type [`INODE_ITEM`].
pub fn inode(bytes: &[u8]) -> Option<Inode> {
    let half = |at| Some(u32::from_le_bytes(array(bytes, at)?));
    // The kernel's encoding: 20 bits of minor number, the major above.
    let device = word(bytes, 56)?;
    let changed = Timestamp::new(
        word(bytes, 124)?.cast_signed(),
        half(132)?.cast_signed().clamp(0, 999_999_999),
    );
    Some(Inode {
        made: word(bytes, 0)?,
        transaction: word(bytes, 8)?,
        size: word(bytes, 16)?,
        links: half(40)?,
        uid: half(44)?,
        gid: half(48)?,
        mode: half(52)?,
        device: (
            u32::try_from(device >> 20).ok()?,
            (device & 0xf_ffff) as u32,
        ),
        flags: word(bytes, 64)?,
        // An invalid time counts as later than any other.
        changed: changed.unwrap_or(Timestamp::MAX),
    })
}

/// Parses an item of type [`DIR_ITEM`] or [`DIR_INDEX`](super::items::DIR_INDEX).
pub fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    // `BTRFS_FT_DIR` of btrfs_tree.h.
    const DIRECTORY: u8 = 2;
    let mut found = Vec::new();
    each(bytes, |head, name, _| {
        let inode = word(head, 0)?;
        found.push(Entry {
            name: OsString::from_vec(name.to_vec()),
            inode: (*head.get(8)? == INODE_ITEM).then_some(inode),
            is_directory: *head.get(29)? == DIRECTORY,
            named: word(head, 17)?,
        });
        Some(())
    })?;
    Some(found)
}

/// Parses an item of type [`XATTR_ITEM`] into names and values.
pub fn attributes(bytes: &[u8]) -> Option<Vec<(OsString, Vec<u8>)>> {
    let mut found = Vec::new();
    each(bytes, |_, name, value| {
        found.push((OsString::from_vec(name.to_vec()), value.to_vec()));
        Some(())
    })?;
    Some(found)
}

/// Iterates over the `struct btrfs_dir_item`s of an item: header, name, value.
fn each(mut rest: &[u8], mut one: impl FnMut(&[u8], &[u8], &[u8]) -> Option<()>) -> Option<()> {
    const HEAD: usize = 30;
    while !rest.is_empty() {
        let length = |at| Some(usize::from(u16::from_le_bytes(array(rest, at)?)));
        let (value_length, name_length) = (length(25)?, length(27)?);
        let name_end = HEAD + name_length;
        let end = name_end + value_length;
        let (name, value) = (rest.get(HEAD..name_end)?, rest.get(name_end..end)?);
        if name.is_empty() {
            return None;
        }
        one(&rest[..HEAD], name, value)?;
        rest = &rest[end..];
    }
    Some(())
}

/// Returns the inline data of a file or symbolic link from an item of type
/// [`EXTENT_DATA`](super::items::EXTENT_DATA). `None` if it is not inline or compressed.
pub fn inline(bytes: &[u8]) -> Option<&[u8]> {
    let (compressed, kind) = (*bytes.get(16)?, *bytes.get(20)?);
    (compressed == 0 && kind == 0)
        .then(|| bytes.get(21..))
        .flatten()
}

/// Returns the transaction of an extent's creation, from an item of type [`EXTENT_ITEM`].
pub fn extent_made(bytes: &[u8]) -> Option<u64> {
    word(bytes, 8)
}

/// Returns the key offset of a name in a directory: CRC-32C with the initial value 0xfffffffe.
pub fn name_hash(name: &[u8]) -> u64 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let hash = name.iter().fold(u32::MAX - 1, |hash, byte| {
        (0..8).fold(hash ^ u32::from(*byte), |h, _| {
            (h >> 1) ^ (POLYNOMIAL & (h & 1).wrapping_neg())
        })
    });
    hash.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = 300_u64.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend([0; 16]);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.push(1);
        bytes.extend(name);
        bytes.extend(value);
        bytes
    }

    #[test]
    fn a_name_has_the_kernels_hash() {
        // As shown by `btrfs inspect-internal dump-tree`.
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }

    #[test]
    fn an_item_may_have_several_entries() {
        let mut bytes = entry(INODE_ITEM, b"a\xff", b"");
        bytes.extend(entry(132, b"sub", b""));
        let found = entries(&bytes).unwrap();
        assert_eq!(found[0].name, OsString::from_vec(b"a\xff".to_vec()));
        assert_eq!((found[0].inode, found[1].inode), (Some(300), None));
        assert!(!found[0].is_directory);
        bytes[29] = 2;
        assert!(entries(&bytes).unwrap()[0].is_directory);
        for length in 1..bytes.len() {
            assert_eq!(
                entries(&bytes[..length]).is_some(),
                length == 32,
                "{length}"
            );
        }
        let found = attributes(&entry(0, b"user.x", b"1\0")).unwrap();
        assert_eq!(found, [("user.x".into(), b"1\0".to_vec())]);
        assert_eq!(entries(&entry(INODE_ITEM, b"", b"")), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (inode(&bytes), entries(&bytes), attributes(&bytes), inline(&bytes), extent_made(&bytes));
        }
    }

    #[test]
    fn an_inode_has_age_and_type() {
        let mut bytes = vec![0; 160];
        bytes[0] = 7;
        bytes[8] = 9;
        bytes[52..56].copy_from_slice(&0o040_755_u32.to_le_bytes());
        let read = inode(&bytes).unwrap();
        assert_eq!(
            (read.made, read.transaction, read.is_directory()),
            (7, 9, true)
        );
        bytes[52..56].copy_from_slice(&0o100_644_u32.to_le_bytes());
        assert!(!inode(&bytes).unwrap().is_directory());
        assert_eq!(inode(&bytes[..50]), None);
    }
}
