//! What was written into a subvolume since a transaction, such as the one it was made a snapshot in.
//!
//! Told by the trees, so only what changed costs anything, however large the rest is. Data that still waits in memory
//! is not seen: `btrfs::sync` comes first. Not for what was removed, and not for names and attributes.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::tree_search::items::{self, EXTENT_DATA, FileExtent, INODE_EXTREF, INODE_REF};
use super::tree_search::{Key, OWN_TREE, Search, Wanted};

/// The inode number of every subvolume's top directory (`BTRFS_FIRST_FREE_OBJECTID`, btrfs_tree.h).
pub(super) const TOP: u64 = 256;

/// The longest path that is made, in bytes: no longer one could be opened (`PATH_MAX`).
pub(super) const PATH: usize = 4096;

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// The files with something new in them, by inode number.
    pub files: Vec<NewData>,
    /// The new extents, by where they begin in the filesystem: what each takes on disk, in bytes.
    ///
    /// Small files that stand in the trees themselves are not among them.
    pub extents: HashMap<u64, u64>,
}

/// The new parts of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewData {
    /// The file's inode number.
    pub inode: u64,
    /// Where in the file, in bytes and in order; one range for each extent.
    ///
    /// The last one can reach beyond the file's end: space comes in whole blocks.
    pub ranges: Vec<Range<u64>>,
}

impl Written {
    /// Returns what was written after a transaction into the subvolume that `top` is open on.
    ///
    /// # Errors
    /// Where the trees cannot be searched, or hold what makes no sense.
    pub fn after(top: &impl AsFd, transaction: u64) -> io::Result<Self> {
        let mut written = Self::default();
        let wanted = Wanted {
            tree: OWN_TREE,
            from: Key::FIRST,
            to: Key::LAST,
            after: transaction,
            kinds: &[EXTENT_DATA],
        };
        for item in Search::new(top, wanted) {
            let item = item?;
            let FileExtent::Disk(extent) = items::file_extent(&item.bytes).ok_or_else(garbled)?
            else {
                continue;
            };
            // Its leaf is new, the data in it need not be: data that was cloned keeps its age, too.
            if extent.generation <= transaction {
                continue;
            }
            let start = item.key.offset;
            let end = start.checked_add(extent.length).ok_or_else(garbled)?;
            written.extents.insert(extent.start, extent.disk_length);
            written.note(item.key.objectid, start..end);
        }
        Ok(written)
    }

    fn note(&mut self, inode: u64, range: Range<u64>) {
        match self.files.last_mut() {
            Some(last) if last.inode == inode => last.ranges.push(range),
            _ => self.files.push(NewData {
                inode,
                ranges: vec![range],
            }),
        }
    }

    /// Returns what the new extents take on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.extents.values().sum()
    }
}

/// Where directories of a subvolume stand, by inode number, as far as it was asked; `None` for one that hangs in no tree,
/// or too deep in it.
pub type Directories = HashMap<u64, Option<PathBuf>>;

/// Where the files of a subvolume stand, by inode number.
#[derive(Debug)]
pub struct Paths<'a> {
    search: Search<'a>,
    directories: Directories,
}

impl<'a> Paths<'a> {
    /// Returns the paths in the subvolume that `top` is open on.
    pub fn new(top: &'a impl AsFd) -> Self {
        Self::knowing(top, Directories::new())
    }

    /// Returns the same where some directories are known already.
    pub fn knowing(top: &'a impl AsFd, mut directories: Directories) -> Self {
        directories.insert(TOP, Some(PathBuf::new()));
        Self {
            search: Search::new(top, names_of(TOP)),
            directories,
        }
    }

    /// Returns the directories that are known now.
    pub fn known(self) -> Directories {
        self.directories
    }

    /// Returns every path of an inode, relative to the top; none for a file that was removed while open.
    ///
    /// They come from what an untrusted system wrote: to be opened beneath the subvolume only, and checked.
    pub fn paths(&mut self, inode: u64) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (directory, name) in self.names(inode)? {
            if let Some(directory) = self.directory(directory)? {
                paths.push(directory.join(name));
            }
        }
        Ok(paths)
    }

    /// Returns the path of a directory.
    fn directory(&mut self, inode: u64) -> io::Result<Option<PathBuf>> {
        // Upwards to one that is known, then down again; a circle, which no sound tree has, ends in `None`.
        let mut climbed: Vec<(u64, OsString)> = Vec::new();
        let mut seen = HashSet::new();
        let mut length = 0;
        let mut at = inode;
        let mut path = loop {
            if let Some(known) = self.directories.get(&at) {
                break known.clone();
            }
            match self.names(at)?.into_iter().next() {
                Some((above, name)) if seen.insert(at) && length < PATH => {
                    length += name.len() + 1;
                    climbed.push((at, name));
                    at = above;
                }
                _ => break None,
            }
        };
        for (inode, name) in climbed.into_iter().rev() {
            path = path
                .map(|p| p.join(name))
                .filter(|p| p.as_os_str().len() < PATH);
            self.directories.insert(inode, path.clone());
        }
        Ok(path)
    }

    fn names(&mut self, inode: u64) -> io::Result<Vec<(u64, OsString)>> {
        self.search.again(names_of(inode));
        let mut names = Vec::new();
        for item in self.search.by_ref() {
            names.extend(items::names(&item?).ok_or_else(garbled)?);
        }
        Ok(names)
    }
}

fn names_of(inode: u64) -> Wanted {
    let key = |kind, offset| Key {
        objectid: inode,
        kind,
        offset,
    };
    Wanted {
        tree: OWN_TREE,
        from: key(INODE_REF, 0),
        to: key(INODE_EXTREF, u64::MAX),
        after: 0,
        kinds: &[INODE_REF, INODE_EXTREF],
    }
}

fn garbled() -> io::Error {
    io::Error::other("a subvolume's tree holds an item that makes no sense")
}
