//! What the items of an inode say, from their bytes: what it is, what a directory holds, its extended attributes.
//!
//! As in [`items`](super::items) every length is checked, and what makes no sense is `None`. Pure.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::items::{array, word};

/// What an inode is.
pub const INODE_ITEM: u8 = 1;
/// Extended attributes of an inode; the key's offset is a hash of their names.
pub const XATTR_ITEM: u8 = 24;
/// Entries of a directory; the key's offset is [`name_hash`] of their names.
pub const DIR_ITEM: u8 = 84;
/// An entry of a directory; the key's offset is its place in it.
pub const DIR_INDEX: u8 = 96;
/// An extent; a key of the extent tree, its offset the length on disk.
pub const EXTENT_ITEM: u8 = 168;

/// The tree of all extents (`BTRFS_EXTENT_TREE_OBJECTID`, btrfs_tree.h).
pub const EXTENT_TREE: u64 = 2;

/// What an inode is, as its item has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// The transaction it was made in: tells it from another that had its number before.
    pub made: u64,
    /// The transaction it was last changed in, whatever of it: content, attributes, a directory's entries.
    pub transaction: u64,
    /// How long the file is, in bytes.
    pub size: u64,
    /// How many names it has.
    pub links: u32,
    /// Whose it is.
    pub uid: u32,
    /// Of which group.
    pub gid: u32,
    /// Type and permissions, as `st_mode` has them.
    pub mode: u32,
    /// What a device is: major and minor number.
    pub device: (u32, u32),
}

impl Inode {
    /// Returns whether it is a directory.
    pub fn is_directory(&self) -> bool {
        const KIND: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        self.mode & KIND == DIRECTORY
    }
}

/// What a name in a directory leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The inode's number.
    pub inode: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// What a directory has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// The inode; `None` for another subvolume.
    pub inode: Option<u64>,
}

/// Returns what an item of kind [`INODE_ITEM`] says.
pub fn inode(bytes: &[u8]) -> Option<Inode> {
    let half = |at| Some(u32::from_le_bytes(array(bytes, at)?));
    // The kernel's own device number: 20 bits of minor, the major above them.
    let device = word(bytes, 56)?;
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
    })
}

/// Returns what an item of kind [`DIR_ITEM`] or [`DIR_INDEX`] says.
pub fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    const INODE: u8 = INODE_ITEM;
    let mut found = Vec::new();
    each(bytes, |head, name, _| {
        let inode = word(head, 0)?;
        found.push(Entry {
            name: OsString::from_vec(name.to_vec()),
            inode: (*head.get(8)? == INODE).then_some(inode),
        });
        Some(())
    })?;
    Some(found)
}

/// Returns what an item of kind `DIR_INDEX` says; an inner `None` where another subvolume stands.
pub fn child(bytes: &[u8]) -> Option<Option<Child>> {
    const INODE: u8 = 1;
    const DIRECTORY: u8 = 2;
    let child = Child {
        inode: word(bytes, 0)?,
        is_directory: *bytes.get(29)? == DIRECTORY,
    };
    Some((*bytes.get(8)? == INODE).then_some(child))
}

/// Returns what an item of kind [`XATTR_ITEM`] says: names and values.
pub fn attributes(bytes: &[u8]) -> Option<Vec<(OsString, Vec<u8>)>> {
    let mut found = Vec::new();
    each(bytes, |_, name, value| {
        found.push((OsString::from_vec(name.to_vec()), value.to_vec()));
        Some(())
    })?;
    Some(found)
}

/// Takes apart the `struct btrfs_dir_item` of an item, one behind another: head, name, value.
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

/// Returns the content of a small file, or what a link says, that stands in the tree itself; from an item of kind
/// [`EXTENT_DATA`](super::items::EXTENT_DATA). `None` where it does not, or is compressed.
pub fn inline(bytes: &[u8]) -> Option<&[u8]> {
    let (compressed, kind) = (*bytes.get(16)?, *bytes.get(20)?);
    (compressed == 0 && kind == 0)
        .then(|| bytes.get(21..))
        .flatten()
}

/// Returns the transaction an extent was made in, from an item of kind [`EXTENT_ITEM`].
pub fn extent_made(bytes: &[u8]) -> Option<u64> {
    word(bytes, 8)
}

/// Returns where in a directory's items a name stands: CRC-32C, begun with all bits but the lowest.
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
    fn a_name_has_the_hash_the_kernel_gives_it() {
        // As `btrfs inspect-internal dump-tree` shows it.
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }

    #[test]
    fn entries_stand_one_behind_another() {
        let mut bytes = entry(INODE_ITEM, b"a\xff", b"");
        bytes.extend(entry(132, b"sub", b""));
        let found = entries(&bytes).unwrap();
        assert_eq!(found[0].name, OsString::from_vec(b"a\xff".to_vec()));
        assert_eq!((found[0].inode, found[1].inode), (Some(300), None));
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
    fn an_inode_says_its_age_and_kind() {
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

    #[test]
    fn a_name_leads_to_an_inode_or_another_subvolume() {
        let mut bytes = vec![0; 33];
        (bytes[0], bytes[8], bytes[29]) = (44, 1, 2);
        let child_of = |bytes: &[u8]| child(bytes);
        assert_eq!(
            child_of(&bytes),
            Some(Some(Child {
                inode: 44,
                is_directory: true
            }))
        );
        bytes[8] = 132;
        assert_eq!(child_of(&bytes), Some(None));
        assert_eq!(child_of(&bytes[..20]), None);
    }
}
