//! Finds the data written into a subvolume since a transaction, such as the one of its snapshot.
//!
//! Read from the trees: the cost is that of the changes, not of the subvolume. Data not yet written out is not
//! seen; call `btrfs::sync` first. Removals, names and attributes are not reported.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::tree_search::items::{
    self, EXTENT_DATA, FileExtent, INODE_EXTREF, INODE_REF, malformed,
};
use super::tree_search::{Search, Wanted};

/// Inode number of the top directory of a subvolume (`BTRFS_FIRST_FREE_OBJECTID`, btrfs_tree.h).
pub(super) const TOP: u64 = 256;

/// The longest path that is built, in bytes: a longer one cannot be opened (`PATH_MAX`).
pub(super) const PATH: usize = 4096;

/// The data written since a transaction.
#[derive(Debug, Default)]
pub struct Written {
    /// Files with new data, by inode number.
    pub files: Vec<NewData>,
    /// The new extents by start address, with their size on disk in bytes.
    ///
    /// Inline files are not included.
    pub extents: HashMap<u64, u64>,
}

/// The new ranges of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewData {
    /// The file's inode number.
    pub inode: u64,
    /// Ranges in bytes, in order; one for each extent.
    ///
    /// The last one may end after the file: extents have whole blocks.
    pub ranges: Vec<Range<u64>>,
}

impl Written {
    /// Returns the changes after a transaction in the subvolume of the descriptor `top`.
    ///
    /// # Errors
    /// If the trees cannot be searched or are malformed.
    pub fn after(top: &impl AsFd, transaction: u64) -> io::Result<Self> {
        let mut written = Self::default();
        let wanted = Wanted {
            after: transaction,
            ..Wanted::all(&[EXTENT_DATA])
        };
        for item in Search::new(top, wanted) {
            let item = item?;
            let FileExtent::Disk(extent) = items::file_extent(&item.bytes).ok_or_else(malformed)?
            else {
                continue;
            };
            // The leaf is newer than the transaction, its data need not be: cloned data keeps its age.
            if extent.generation <= transaction {
                continue;
            }
            let start = item.key.offset;
            let end = start.checked_add(extent.length).ok_or_else(malformed)?;
            written.extents.insert(extent.start, extent.disk_length);
            written.add(item.key.objectid, start..end);
        }
        Ok(written)
    }

    fn add(&mut self, inode: u64, range: Range<u64>) {
        match self.files.last_mut() {
            Some(last) if last.inode == inode => last.ranges.push(range),
            _ => self.files.push(NewData {
                inode,
                ranges: vec![range],
            }),
        }
    }

    /// Returns the size of the new extents on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.extents.values().sum()
    }
}

/// Paths of a subvolume's directories by inode number, as far as resolved; `None` for one without a path, or
/// whose path is too long.
pub type Directories = HashMap<u64, Option<PathBuf>>;

/// Resolves inode numbers of a subvolume to paths.
#[derive(Debug)]
pub struct Paths<'a> {
    search: Search<'a>,
    directories: Directories,
}

impl<'a> Paths<'a> {
    /// Resolves in the subvolume of the descriptor `top`.
    pub fn new(top: &'a impl AsFd) -> Self {
        Self::with_directories(top, Directories::new())
    }

    /// The same, with directories that are resolved already.
    pub fn with_directories(top: &'a impl AsFd, mut directories: Directories) -> Self {
        directories.insert(TOP, Some(PathBuf::new()));
        Self {
            search: Search::new(top, search_names(TOP)),
            directories,
        }
    }

    /// Returns the resolved directories.
    pub fn into_directories(self) -> Directories {
        self.directories
    }

    /// Returns every path of an inode, relative to the top; none for an orphan.
    ///
    /// The names are from an untrusted system: open them inside the subvolume only, with checks.
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
        // Up to a resolved directory, then down again; a loop, which only a damaged tree has, ends in `None`.
        let mut ancestors: Vec<(u64, OsString)> = Vec::new();
        let mut seen = HashSet::new();
        let mut length = 0;
        let mut at = inode;
        let mut path = loop {
            if let Some(into_directories) = self.directories.get(&at) {
                break into_directories.clone();
            }
            match self.names(at)?.into_iter().next() {
                Some((parent, name)) if seen.insert(at) && length < PATH => {
                    length += name.len() + 1;
                    ancestors.push((at, name));
                    at = parent;
                }
                _ => break None,
            }
        };
        for (inode, name) in ancestors.into_iter().rev() {
            path = path
                .map(|p| p.join(name))
                .filter(|p| p.as_os_str().len() < PATH);
            self.directories.insert(inode, path.clone());
        }
        Ok(path)
    }

    fn names(&mut self, inode: u64) -> io::Result<Vec<(u64, OsString)>> {
        self.search.restart(search_names(inode));
        let mut names = Vec::new();
        for item in self.search.by_ref() {
            names.extend(items::names(&item?).ok_or_else(malformed)?);
        }
        Ok(names)
    }
}

fn search_names(inode: u64) -> Wanted {
    Wanted::of(inode, &[INODE_REF, INODE_EXTREF])
}
