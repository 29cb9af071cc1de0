//! Parses items of trees.
//!
//! Every length is checked; truncated or impossible bytes are `None`. Layouts: linux/btrfs_tree.h. Pure: reads
//! no file.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::{Item, ItemRef, Key};

/// Item with a name of an inode; the key's offset is its parent directory.
pub const INODE_REF: u8 = 12;
/// Item with names of an inode that do not fit into the other type.
pub const INODE_EXTREF: u8 = 13;
/// Item with an inode's fields; the key's offset is 0.
pub const INODE_ITEM: u8 = 1;
/// Item of an orphan, an inode without a name; the key's offset is its inode number.
pub const ORPHAN_ITEM: u8 = 48;
/// Item with a directory entry; the key's offset is its position in the listing.
pub const DIR_INDEX: u8 = 96;
/// Item with a file extent; the key's offset is its position in the file, in bytes.
pub const EXTENT_DATA: u8 = 108;

/// The size of `struct btrfs_ioctl_search_header`.
const HEADER: usize = 32;

/// A file extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileExtent {
    /// Inline data in the tree: small, never shared between subvolumes.
    Inline,
    /// A hole.
    Hole,
    /// An extent on disk.
    Disk(DiskExtent),
}

/// A reference to an extent on disk; all lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskExtent {
    /// The transaction of the extent's allocation.
    pub generation: u64,
    /// The extent's start address, which identifies it.
    pub start: u64,
    /// The extent's size on disk, compressed or not.
    pub disk_length: u64,
    /// Offset in the uncompressed extent.
    pub offset: u64,
    /// Length in the file.
    pub length: u64,
}

/// Returns the first item of the kernel's answer, and its length there.
pub fn item(answer: &[u8]) -> Option<(Item, usize)> {
    let (item_ref, end) = item_ref(answer)?;
    let item = Item {
        key: item_ref.key,
        transaction: item_ref.transaction,
        bytes: item_ref.bytes.to_vec(),
    };
    Some((item, end))
}

/// The same, without a copy.
pub fn item_ref(answer: &[u8]) -> Option<(ItemRef<'_>, usize)> {
    // The header is in native byte order, all items in little-endian.
    let word = |at| Some(u64::from_ne_bytes(array(answer, at)?));
    let half = |at| Some(u32::from_ne_bytes(array(answer, at)?));
    let key = Key::new(word(8)?, u8::try_from(half(24)?).ok()?, word(16)?);
    let end = HEADER.checked_add(usize::try_from(half(28)?).ok()?)?;
    let item_ref = ItemRef {
        key,
        transaction: word(0)?,
        bytes: answer.get(HEADER..end)?,
    };
    Some((item_ref, end))
}

/// Returns the error for a malformed item.
pub fn malformed() -> io::Error {
    io::Error::other("a subvolume's tree has a malformed item")
}

/// Parses an item of type [`EXTENT_DATA`].
pub fn file_extent(bytes: &[u8]) -> Option<FileExtent> {
    const INLINE: u8 = 0;
    const REGULAR: u8 = 1;
    const PREALLOCATED: u8 = 2;
    let kind = *bytes.get(20)?;
    match kind {
        INLINE => Some(FileExtent::Inline),
        REGULAR | PREALLOCATED => {
            let extent = DiskExtent {
                generation: word(bytes, 0)?,
                start: word(bytes, 21)?,
                disk_length: word(bytes, 29)?,
                offset: word(bytes, 37)?,
                length: word(bytes, 45)?,
            };
            match extent.start {
                0 => Some(FileExtent::Hole),
                _ => Some(FileExtent::Disk(extent)),
            }
        }
        _ => None,
    }
}

/// Returns the length in bytes of the data in an item of type [`EXTENT_DATA`] that is as old as a transaction, or older, and
/// whole; `Some(None)` for newer data, a hole, and a part of an extent, which was cut at an unknown time.
///
/// A file that is small enough to be in the tree and was made shorter without being written anew keeps its age.
pub fn old_data(bytes: &[u8], after: u64) -> Option<Option<u64>> {
    let whole = word(bytes, 8)?;
    let length = match file_extent(bytes)? {
        FileExtent::Inline => (word(bytes, 0)? <= after).then_some(whole),
        FileExtent::Hole => None,
        FileExtent::Disk(extent) => {
            (extent.generation <= after && extent.length == whole).then_some(whole)
        }
    };
    Some(length)
}

/// Returns the names in an item of type [`INODE_REF`] or [`INODE_EXTREF`], each with the inode number of the
/// parent directory.
pub fn names(item: &Item) -> Option<Vec<(u64, OsString)>> {
    let mut names = Vec::new();
    let mut rest = item.bytes.as_slice();
    while !rest.is_empty() {
        // The directory (in extrefs only), an index, the name's length, the name.
        let (directory, length_at) = match item.key.kind {
            INODE_REF => (item.key.offset, 8),
            INODE_EXTREF => (word(rest, 0)?, 16),
            _ => return None,
        };
        let length = usize::from(u16::from_le_bytes(array(rest, length_at)?));
        let start = length_at + 2;
        let name = rest.get(start..start + length)?;
        if name.is_empty() {
            return None;
        }
        names.push((directory, OsString::from_vec(name.to_vec())));
        rest = rest.get(start + length..)?;
    }
    Some(names)
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array(bytes, at)?))
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(key: Key, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        for word in [7, key.objectid, key.offset] {
            answer.extend(u64::to_ne_bytes(word));
        }
        answer.extend(u32::from(key.kind).to_ne_bytes());
        answer.extend((bytes.len() as u32).to_ne_bytes());
        answer.extend(bytes);
        answer
    }

    const KEY: Key = Key {
        objectid: 257,
        kind: EXTENT_DATA,
        offset: 4096,
    };

    fn extent(kind: u8, start: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(42_u64.to_le_bytes());
        bytes.extend(131_072_u64.to_le_bytes());
        // Compressed by zstd.
        bytes.extend([3, 0, 0, 0, kind]);
        for word in [start, 20_480, 8192, 65_536] {
            bytes.extend(u64::to_le_bytes(word));
        }
        bytes
    }

    fn named(kind: u8, offset: u64, bytes: Vec<u8>) -> Item {
        Item {
            key: Key {
                objectid: 300,
                kind,
                offset,
            },
            transaction: 1,
            bytes,
        }
    }

    #[test]
    fn an_answer_is_parsed_item_by_item() {
        let mut both = answer(KEY, b"first");
        both.extend(answer(
            Key {
                offset: 8192,
                ..KEY
            },
            b"",
        ));
        let (first, taken) = item(&both).unwrap();
        assert_eq!((first.key, first.transaction), (KEY, 7));
        assert_eq!(first.bytes, b"first");
        assert_eq!(taken, 37);
        let (second, taken) = item(&both[taken..]).unwrap();
        assert_eq!((second.key.offset, second.bytes.len()), (8192, 0));
        assert_eq!(taken, 32);
    }

    #[test]
    fn a_truncated_answer_has_no_item() {
        let whole = answer(KEY, b"bytes");
        for length in 0..whole.len() {
            assert_eq!(item(&whole[..length]), None, "{length}");
        }
        let mut kind = whole.clone();
        kind[24..28].copy_from_slice(&256_u32.to_ne_bytes());
        assert_eq!(item(&kind), None);
        let mut length = whole;
        length[28..32].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(item(&length), None);
    }

    #[test]
    fn extent_types_are_distinguished() {
        let disk = DiskExtent {
            generation: 42,
            start: 1 << 30,
            disk_length: 20_480,
            offset: 8192,
            length: 65_536,
        };
        assert_eq!(
            file_extent(&extent(1, 1 << 30)),
            Some(FileExtent::Disk(disk))
        );
        assert_eq!(
            file_extent(&extent(2, 1 << 30)),
            Some(FileExtent::Disk(disk))
        );
        assert_eq!(file_extent(&extent(1, 0)), Some(FileExtent::Hole));
        let mut inline = extent(0, 0);
        inline.truncate(21);
        inline.extend(b"text");
        assert_eq!(file_extent(&inline), Some(FileExtent::Inline));
        assert_eq!(file_extent(&extent(3, 1 << 30)), None);
        for length in 0..53 {
            assert_eq!(file_extent(&extent(1, 1 << 30)[..length]), None, "{length}");
        }
    }

    #[test]
    fn an_item_may_have_several_names() {
        let mut refs = Vec::new();
        for name in [&b"perl"[..], b"perl\xff5"] {
            refs.extend(2_u64.to_le_bytes());
            refs.extend((name.len() as u16).to_le_bytes());
            refs.extend(name);
        }
        let found = names(&named(INODE_REF, 256, refs.clone())).unwrap();
        assert_eq!(found[0], (256, "perl".into()));
        assert_eq!(found[1], (256, OsString::from_vec(b"perl\xff5".to_vec())));
        for length in 1..refs.len() {
            let cut = named(INODE_REF, 256, refs[..length].to_vec());
            assert_eq!(names(&cut).is_some(), length == 14, "{length}");
        }

        let mut refs = Vec::new();
        refs.extend(270_u64.to_le_bytes());
        refs.extend(9_u64.to_le_bytes());
        refs.extend(1_u16.to_le_bytes());
        refs.push(b'x');
        let found = names(&named(INODE_EXTREF, 0xdead_beef, refs.clone())).unwrap();
        assert_eq!(found, [(270, "x".into())]);
        refs[16..18].copy_from_slice(&[0, 0]);
        assert_eq!(names(&named(INODE_EXTREF, 1, refs.clone())), None);
        assert_eq!(names(&named(EXTENT_DATA, 1, refs)), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 10_u8..14) {
            if let Some((item, taken)) = item(&bytes) {
                prop_assert_eq!(item.bytes.len() + HEADER, taken);
                prop_assert!(taken <= bytes.len());
            }
            let _ = file_extent(&bytes);
            let _ = names(&named(kind, 1, bytes));
        }
    }
}
