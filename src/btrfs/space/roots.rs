//! Reads the subvolumes of a filesystem from the root tree.
//!
//! Layouts: `struct btrfs_root_item` and `struct btrfs_root_ref` of linux/btrfs_tree.h.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;

use jiff::Timestamp;

use crate::btrfs::subvolume::Uuid;
use crate::btrfs::tree_search::items::{array, malformed, word};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// The root tree (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// The top-level subvolume (`BTRFS_FS_TREE_OBJECTID`).
const FIRST_SUBVOLUME: u64 = 5;
/// IDs of other subvolumes (`BTRFS_FIRST_FREE_OBJECTID`, `BTRFS_LAST_FREE_OBJECTID`).
const SUBVOLUMES: std::ops::RangeInclusive<u64> = 256..=u64::MAX - 255;
/// The tree of the UUIDs of subvolumes (`BTRFS_UUID_TREE_OBJECTID`).
const UUID_TREE: u64 = 9;
/// Item with the IDs of the subvolumes of a UUID (`BTRFS_UUID_KEY_SUBVOL`); the key has the UUID.
const UUID_SUBVOLUME: u8 = 251;
/// Item of a tree.
const ROOT_ITEM: u8 = 132;
/// Item with a subvolume's directory; the key's offset is the parent subvolume.
const ROOT_BACKREF: u8 = 144;

/// A subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// ID.
    pub id: u64,
    /// UUID; all zeros for the top-level one of an old filesystem.
    pub uuid: Uuid,
    /// UUID of the subvolume it is a snapshot of, existing or deleted.
    pub parent: Option<Uuid>,
    /// The transaction in which it was created.
    pub made: u64,
    /// Creation time, UTC.
    pub created: Timestamp,
    /// The transaction of the last change of an inode.
    pub changed: u64,
    /// Level of its root node; 0 is a leaf.
    pub level: u8,
    /// Size of its tree in bytes, shared or not.
    pub size: u64,
    /// Its parent directory; `None` for the top-level one.
    pub location: Option<Location>,
}

/// The location of a subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// ID of the parent subvolume.
    pub subvolume: u64,
    /// Inode number of the directory.
    pub directory: u64,
    /// Name.
    pub name: OsString,
}

/// Returns the subvolumes that are not deleted, by ID.
pub(super) fn all(top: &File) -> io::Result<Vec<Subvolume>> {
    let wanted = Wanted {
        tree: ROOT_TREE,
        from: Key::new(FIRST_SUBVOLUME, ROOT_ITEM, 0),
        to: Key::new(*SUBVOLUMES.end(), u8::MAX, u64::MAX),
        ..Wanted::all(&[ROOT_ITEM, ROOT_BACKREF])
    };
    let mut found = Vec::new();
    let mut locations = HashMap::new();
    Search::new(top, wanted).each(wanted, |item| {
        let id = item.key.objectid;
        if id != FIRST_SUBVOLUME && !SUBVOLUMES.contains(&id) {
            return Ok(true);
        }
        if item.key.kind == ROOT_ITEM {
            found.extend(subvolume(id, item.bytes).ok_or_else(malformed)?);
        } else {
            let location = location(item.key.offset, item.bytes).ok_or_else(malformed)?;
            locations.insert(id, location);
        }
        Ok(true)
    })?;
    for one in &mut found {
        one.location = locations.remove(&one.id);
    }
    Ok(found)
}

/// Returns the subvolume with a UUID; `None` if it is deleted.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, and if the filesystem has no tree of UUIDs.
pub fn by_uuid(top: &File, uuid: Uuid) -> io::Result<Option<Subvolume>> {
    let (first, second) = uuid.0.split_at(8);
    let half = |bytes| array(bytes, 0).map(u64::from_le_bytes);
    let (Some(first), Some(second)) = (half(first), half(second)) else {
        return Ok(None);
    };
    let key = Key::new(first, UUID_SUBVOLUME, second);
    let wanted = Wanted {
        tree: UUID_TREE,
        from: key,
        to: key,
        ..Wanted::all(&[UUID_SUBVOLUME])
    };
    let mut ids = Vec::new();
    Search::new(top, wanted).each(wanted, |item| {
        let chunks = item.bytes.chunks_exact(8);
        ids.extend(chunks.filter_map(|id| word(id, 0)));
        Ok(true)
    })?;
    for id in ids {
        let wanted = Wanted {
            tree: ROOT_TREE,
            ..Wanted::of(id, &[ROOT_ITEM])
        };
        let mut found = None;
        Search::new(top, wanted).each(wanted, |item| {
            found = subvolume(id, item.bytes).ok_or_else(malformed)?;
            Ok(true)
        })?;
        if let Some(found) = found.filter(|found| found.uuid == uuid) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Parses a time: seconds, then nanoseconds.
fn timestamp(bytes: &[u8], at: usize) -> Option<Timestamp> {
    let seconds = word(bytes, at)?.cast_signed();
    let nanoseconds = u32::from_le_bytes(array(bytes, at + 8)?).min(999_999_999);
    let time = Timestamp::new(seconds, nanoseconds.cast_signed());
    Some(time.unwrap_or(Timestamp::UNIX_EPOCH))
}

fn location(subvolume: u64, bytes: &[u8]) -> Option<Location> {
    const NAME: usize = 18;
    let length = usize::from(u16::from_le_bytes(array(bytes, 16)?));
    Some(Location {
        subvolume,
        directory: word(bytes, 0)?,
        name: OsString::from_vec(bytes.get(NAME..NAME + length)?.to_vec()),
    })
}

/// Parses a root item; an inner `None` for a deleted subvolume.
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
        created: timestamp(bytes, 339)?,
        changed: word(bytes, 295)?,
        level: *bytes.get(238)?,
        size: word(bytes, 192)?,
        location: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_item_has_parent_and_transaction() {
        let mut bytes = vec![0; 439];
        bytes[192] = 64;
        bytes[216] = 1;
        bytes[238] = 2;
        bytes[247..263].fill(7);
        bytes[303] = 99;
        bytes[295] = 98;
        (bytes[339], bytes[347]) = (5, 6);
        let first = subvolume(256, &bytes).unwrap().unwrap();
        assert_eq!((first.size, first.level, first.made), (64, 2, 99));
        assert_eq!(first.changed, 98);
        assert_eq!(first.created, Timestamp::new(5, 6).unwrap());
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
    fn a_location_has_a_name() {
        let mut bytes = vec![0; 22];
        (bytes[0], bytes[16]) = (44, 4);
        bytes[18..].copy_from_slice(b"root");
        let found = location(5, &bytes).unwrap();
        assert_eq!((found.subvolume, found.directory), (5, 44));
        assert_eq!(found.name, "root");
        assert_eq!(location(5, &bytes[..20]), None);
    }
}
