//! What a tree says of an inode, and of the names in a directory.
//!
//! Layouts: `struct btrfs_inode_item` and `struct btrfs_dir_item` of linux/btrfs_tree.h. Bytes that are cut short are
//! `None`.

use crate::btrfs::tree_search::items::{array, word};

/// A file, directory or whatever else has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode {
    /// The transaction it was made in: tells it from another that had its number before.
    pub(super) made: u64,
    /// The transaction anything of it was last changed in.
    pub(super) changed: u64,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
}

/// Returns what an item of kind `INODE_ITEM` says.
pub(super) fn inode(bytes: &[u8]) -> Option<Inode> {
    const KIND: u32 = 0o170_000;
    const DIRECTORY: u32 = 0o040_000;
    let mode = u32::from_le_bytes(array(bytes, 52)?);
    Some(Inode {
        made: word(bytes, 0)?,
        changed: word(bytes, 8)?,
        is_directory: mode & KIND == DIRECTORY,
    })
}

/// What a name in a directory leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    /// The inode's number.
    pub(super) inode: u64,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
}

/// Returns what an item of kind `DIR_INDEX` says; an inner `None` where another subvolume stands.
pub(super) fn child(bytes: &[u8]) -> Option<Option<Child>> {
    const INODE: u8 = 1;
    const DIRECTORY: u8 = 2;
    let child = Child {
        inode: word(bytes, 0)?,
        is_directory: *bytes.get(29)? == DIRECTORY,
    };
    Some((*bytes.get(8)? == INODE).then_some(child))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_says_its_age_and_kind() {
        let mut bytes = vec![0; 160];
        bytes[0] = 7;
        bytes[8] = 9;
        bytes[52..56].copy_from_slice(&0o040_755_u32.to_le_bytes());
        let read = inode(&bytes).unwrap();
        assert_eq!((read.made, read.changed, read.is_directory), (7, 9, true));
        bytes[52..56].copy_from_slice(&0o100_644_u32.to_le_bytes());
        assert!(!inode(&bytes).unwrap().is_directory);
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
