//! Which subvolumes a filesystem has, from the tree of trees.
//!
//! Layouts: `struct btrfs_root_item` and `struct btrfs_root_ref` of linux/btrfs_tree.h.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::garbled;
use crate::btrfs::subvolume::Uuid;
use crate::btrfs::tree_search::items::{array, word};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// The tree that says where the others are (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// The subvolume every filesystem begins with (`BTRFS_FS_TREE_OBJECTID`).
const FIRST_SUBVOLUME: u64 = 5;
/// The numbers of the others (`BTRFS_FIRST_FREE_OBJECTID`, `BTRFS_LAST_FREE_OBJECTID`).
const SUBVOLUMES: std::ops::RangeInclusive<u64> = 256..=u64::MAX - 255;
/// A tree.
const ROOT_ITEM: u8 = 132;
/// In which directory a subvolume stands; the key's offset is the subvolume of that directory.
const ROOT_BACKREF: u8 = 144;

/// A subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number.
    pub id: u64,
    /// Its identity; all zeros for the first one of an old filesystem.
    pub uuid: Uuid,
    /// Of what it was made a snapshot, there still or not.
    pub parent: Option<Uuid>,
    /// The transaction it was made in.
    pub made: u64,
    /// The transaction any inode in it was last changed in.
    pub changed: u64,
    /// How many levels of nodes are above its leaves.
    pub level: u8,
    /// What its tree takes, in bytes, shared or not.
    pub size: u64,
    /// Where it stands; the first one stands nowhere.
    pub stands_in: Option<Place>,
}

/// Where a subvolume stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In which other one, by number.
    pub subvolume: u64,
    /// In which directory there, by inode number.
    pub directory: u64,
    /// Under which name.
    pub name: OsString,
}

/// Returns the subvolumes that are not deleted, by number.
pub(super) fn all(top: &File) -> io::Result<Vec<Subvolume>> {
    let wanted = Wanted {
        tree: ROOT_TREE,
        from: Key {
            objectid: FIRST_SUBVOLUME,
            kind: ROOT_ITEM,
            offset: 0,
        },
        to: Key {
            objectid: *SUBVOLUMES.end(),
            kind: u8::MAX,
            offset: u64::MAX,
        },
        after: 0,
        kinds: &[ROOT_ITEM, ROOT_BACKREF],
    };
    let mut found = Vec::new();
    let mut places = HashMap::new();
    Search::new(top, wanted).each(wanted, |item| {
        let id = item.key.objectid;
        if id != FIRST_SUBVOLUME && !SUBVOLUMES.contains(&id) {
            return Ok(true);
        }
        if item.key.kind == ROOT_ITEM {
            found.extend(subvolume(id, item.bytes).ok_or_else(garbled)?);
        } else {
            let place = place(item.key.offset, item.bytes).ok_or_else(garbled)?;
            places.insert(id, place);
        }
        Ok(true)
    })?;
    for one in &mut found {
        one.stands_in = places.remove(&one.id);
    }
    Ok(found)
}

fn place(subvolume: u64, bytes: &[u8]) -> Option<Place> {
    const NAME: usize = 18;
    let length = usize::from(u16::from_le_bytes(array(bytes, 16)?));
    Some(Place {
        subvolume,
        directory: word(bytes, 0)?,
        name: OsString::from_vec(bytes.get(NAME..NAME + length)?.to_vec()),
    })
}

/// Returns what the item of a tree says; an inner `None` for one that is deleted.
fn subvolume(id: u64, bytes: &[u8]) -> Option<Option<Subvolume>> {
    const REFERENCES: usize = 216;
    if u32::from_le_bytes(array(bytes, REFERENCES)?) == 0 {
        return Some(None);
    }
    let uuid = |at| Some(Uuid(array(bytes, at)?));
    let parent = uuid(263)?;
    Some(Some(Subvolume {
        id,
        uuid: uuid(247)?,
        parent: (parent.0 != [0; 16]).then_some(parent),
        made: word(bytes, 303)?,
        changed: word(bytes, 295)?,
        level: *bytes.get(238)?,
        size: word(bytes, 192)?,
        stands_in: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_says_whose_snapshot_it_is_and_since_when() {
        let mut bytes = vec![0; 439];
        bytes[192] = 64;
        bytes[216] = 1;
        bytes[238] = 2;
        bytes[247..263].fill(7);
        bytes[303] = 99;
        bytes[295] = 98;
        let first = subvolume(256, &bytes).unwrap().unwrap();
        assert_eq!((first.size, first.level, first.made), (64, 2, 99));
        assert_eq!(first.changed, 98);
        assert_eq!((first.uuid, first.parent), (Uuid([7; 16]), None));
        bytes[263..279].fill(8);
        let second = subvolume(256, &bytes).unwrap().unwrap();
        assert_eq!(second.parent, Some(Uuid([8; 16])));
        bytes[216] = 0;
        assert_eq!(subvolume(256, &bytes), Some(None));
        bytes[216] = 1;
        assert_eq!(subvolume(256, &bytes[..240]), None);
    }

    #[test]
    fn a_place_has_a_name() {
        let mut bytes = vec![0; 22];
        (bytes[0], bytes[16]) = (44, 4);
        bytes[18..].copy_from_slice(b"root");
        let found = place(5, &bytes).unwrap();
        assert_eq!((found.subvolume, found.directory), (5, 44));
        assert_eq!(found.name, "root");
        assert_eq!(place(5, &bytes[..20]), None);
    }
}
