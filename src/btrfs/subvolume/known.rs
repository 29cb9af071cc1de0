//! Many subvolumes at once: their UUIDs and whether they are read-only, by one search of the root tree.
//!
//! A list needs this of thousands, and opening each takes longer than all other work. Subvolumes that are not found here have
//! to be opened: the search is bounded, requires `CAP_SYS_ADMIN`, and does not see later ones. An ID is never reused, so the
//! facts are always those of that subvolume. Changes nothing.

use std::os::fd::AsFd;

use nix::libc;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::path::Arg;

use super::{READ_ONLY, SUBVOLUME_INODE, Uuid};
use crate::btrfs::tree_search::items::{array, word};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// The root tree (`BTRFS_ROOT_TREE_OBJECTID`).
const ROOT_TREE: u64 = 1;
/// Item of a tree.
const ROOT_ITEM: u8 = 132;

/// The facts about a subvolume in the root tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// UUID.
    pub uuid: Uuid,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// The subvolumes that a search found, sorted by ID.
#[derive(Debug, Default)]
pub struct Known(Vec<(u64, Facts)>);

impl Known {
    /// Searches the filesystem of an open file, for at most `most` subvolumes; finds none without the privilege.
    pub fn search(on: &impl AsFd, most: usize) -> Self {
        let wanted = Wanted {
            tree: ROOT_TREE,
            from: Key::new(SUBVOLUME_INODE, ROOT_ITEM, 0),
            ..Wanted::all(&[ROOT_ITEM])
        };
        let (mut known, mut looked_at) = (Vec::new(), 0);
        // Subvolumes found before an error are correct, and the others are unknown.
        let _ = Search::new(on, wanted).each(wanted, |item| {
            if let Some(facts) = facts(item.bytes) {
                known.push((item.key.objectid, facts));
            }
            looked_at += 1;
            Ok(looked_at < most)
        });
        Self(known)
    }

    /// Returns the facts about a subvolume, if known.
    pub fn get(&self, id: u64) -> Option<Facts> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.0[at].1)
    }
}

/// Parses a root item; `None` for a deleted subvolume, and without a UUID.
fn facts(bytes: &[u8]) -> Option<Facts> {
    const REFERENCES: usize = 216;
    let references = u32::from_le_bytes(array(bytes, REFERENCES)?);
    let facts = Facts {
        uuid: Uuid(array(bytes, 247)?),
        read_only: word(bytes, 208)? & READ_ONLY != 0,
    };
    (references > 0 && facts.uuid.0 != [0; 16]).then_some(facts)
}

/// The top of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top {
    /// The device number, its own.
    pub device: u64,
    /// The ID; `None` before Linux 6.10.
    pub id: Option<u64>,
}

/// Returns the top of the subvolume at a path below a directory; `None` if there is none. A link at its end is not
/// followed.
pub fn top_at(directory: &impl AsFd, path: impl Arg) -> rustix::io::Result<Option<Top>> {
    // `STATX_SUBVOL` has no name there.
    let subvolume = StatxFlags::from_bits_retain(libc::STATX_SUBVOL);
    let mask = StatxFlags::TYPE | StatxFlags::INO | subvolume;
    let found = match statx(directory, path, AtFlags::SYMLINK_NOFOLLOW, mask) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(e),
    };
    let is_directory = u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFDIR;
    Ok(
        (found.stx_ino == SUBVOLUME_INODE && is_directory).then(|| Top {
            device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
            id: (found.stx_mask & libc::STATX_SUBVOL != 0).then_some(found.stx_subvol),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_item_has_uuid_and_flags() {
        let mut item = vec![0; 439];
        item[216] = 1;
        item[247..263].copy_from_slice(&[7; 16]);
        let known = |read_only| {
            Some(Facts {
                uuid: Uuid([7; 16]),
                read_only,
            })
        };
        assert_eq!(facts(&item), known(false));
        item[208] = 1;
        assert_eq!(facts(&item), known(true));
        assert_eq!(facts(&item[..262]), None);
        item[216] = 0;
        assert_eq!(facts(&item), None, "deleted");
        item[216] = 1;
        item[247..263].fill(0);
        assert_eq!(facts(&item), None, "of an old kernel");
    }

    #[test]
    fn plain_directories_and_files_have_no_subvolume_id() {
        let dir = tempfile::tempdir().unwrap();
        let at = std::fs::File::open(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("plain")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for path in ["plain", "file", "none", "file/below"] {
            assert_eq!(top_at(&at, path), Ok(None), "{path}");
        }
        assert!(top_at(&at, "x".repeat(300).as_str()).is_err());
    }
}
