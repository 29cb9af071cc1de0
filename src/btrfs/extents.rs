//! Finds the extents of a subvolume's files, and so which files share space.
//!
//! Read from the trees, not from the files. Data not yet written out is not seen; call `btrfs::sync` first.
//! Inline files cannot share space and are left out.

mod layout;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::AsFd;

use super::changed_since::TOP;
use super::tree_search::inodes::{self, EXTENT_ITEM, EXTENT_TREE};
use super::tree_search::items::{
    self, DiskExtent, EXTENT_DATA, FileExtent, INODE_EXTREF, INODE_ITEM, INODE_REF, malformed,
};
use super::tree_search::{Item, Key, Search, Wanted};

pub use layout::Layout;

/// Maximum depth of a directory: a longer path cannot be opened (`PATH_MAX`).
const DEPTH: usize = 2048;

/// Mask and value of a regular file in `st_mode`.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// A regular file with extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its inode number.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Hashes of its paths: equal for equal paths in different subvolumes.
    pub paths: Vec<u64>,
    /// Hash of its extents: equal for files that share all of them.
    pub mark: u64,
    /// Size of its extents on disk, in bytes.
    pub disk: u64,
    /// Start addresses of its extents, one for each reference.
    pub references: Vec<u64>,
}

/// Returns the files of the subvolume of the descriptor `top`.
///
/// # Errors
/// If the trees cannot be searched or are malformed.
pub fn files(top: &impl AsFd) -> io::Result<Vec<StoredFile>> {
    let wanted = Wanted::all(&[INODE_ITEM, INODE_REF, INODE_EXTREF, EXTENT_DATA]);
    let mut reader = Reader::default();
    for item in Search::new(top, wanted) {
        reader.add(&item?).ok_or_else(malformed)?;
    }
    Ok(reader.files())
}

/// Collects a subvolume's items into files.
#[derive(Debug, Default)]
struct Reader {
    /// For each directory its parent and the hash of its name.
    directories: HashMap<u64, (u64, u64)>,
    found: Vec<Found>,
    /// The inode whose items are being read.
    current: Option<Found>,
}

#[derive(Debug)]
struct Found {
    inode: u64,
    mode: u32,
    size: u64,
    names: Vec<(u64, u64)>,
    layout: Layout,
    references: Vec<u64>,
}

impl Reader {
    fn add(&mut self, item: &Item) -> Option<()> {
        if item.key.kind == INODE_ITEM {
            self.finish_inode();
            let what = inodes::inode(&item.bytes)?;
            self.current = Some(Found {
                inode: item.key.objectid,
                mode: what.mode,
                size: what.size,
                names: Vec::new(),
                layout: Layout::default(),
                references: Vec::new(),
            });
            return Some(());
        }
        // The tree has items that belong to no inode.
        let Some(current) = self
            .current
            .as_mut()
            .filter(|n| n.inode == item.key.objectid)
        else {
            return Some(());
        };
        if item.key.kind != EXTENT_DATA {
            let names = items::names(item)?;
            current
                .names
                .extend(names.into_iter().map(|(at, name)| (at, hash(&name))));
            return Some(());
        }
        if let FileExtent::Disk(extent) = items::file_extent(&item.bytes)? {
            check(item.key.offset, &extent).ok()?;
            current.references.push(extent.start);
            current.layout.push(item.key.offset, extent, current.size);
        }
        Some(())
    }

    fn finish_inode(&mut self) {
        let Some(done) = self.current.take() else {
            return;
        };
        if done.mode & TYPE == REGULAR {
            if !done.references.is_empty() {
                self.found.push(done);
            }
        } else if let Some(name) = done.names.first() {
            self.directories.insert(done.inode, *name);
        }
    }

    fn files(mut self) -> Vec<StoredFile> {
        self.finish_inode();
        let mut known = HashMap::from([(TOP, Some(0))]);
        let mut files = Vec::with_capacity(self.found.len());
        for found in std::mem::take(&mut self.found) {
            let paths = found.names.iter();
            let paths = paths.filter_map(|(at, name)| {
                let parent = self.path(*at, &mut known)?;
                Some(hash(&(parent, name)))
            });
            files.push(StoredFile {
                paths: paths.collect(),
                inode: found.inode,
                size: found.size,
                mark: found.layout.hash_value(found.size),
                disk: found.layout.disk(),
                references: found.references,
            });
        }
        files
    }

    /// Returns the hash of a directory's path; `None` if it has none.
    fn path(&self, inode: u64, known: &mut HashMap<u64, Option<u64>>) -> Option<u64> {
        let mut ancestors = Vec::new();
        let mut at = inode;
        let mut path = loop {
            if let Some(path) = known.get(&at) {
                break *path;
            }
            // A loop, which only a damaged tree has, ends at the maximum depth.
            match self.directories.get(&at) {
                Some((parent, name)) if ancestors.len() < DEPTH => {
                    ancestors.push((at, *name));
                    at = *parent;
                }
                _ => break None,
            }
        };
        for (inode, name) in ancestors.into_iter().rev() {
            path = path.map(|parent| hash(&(parent, &name)));
            known.insert(inode, path);
        }
        path
    }
}

fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Returns the extents of a file in the subvolume of the descriptor `top`.
pub fn layout(top: &impl AsFd, inode: u64, size: u64) -> io::Result<Layout> {
    let mut layout = Layout::default();
    for item in Search::new(top, Wanted::of(inode, &[EXTENT_DATA])) {
        let item = item?;
        if let FileExtent::Disk(extent) = items::file_extent(&item.bytes).ok_or_else(malformed)? {
            check(item.key.offset, &extent)?;
            layout.push(item.key.offset, extent, size);
        }
    }
    Ok(layout)
}

/// Returns how many bytes on disk were freed: the size of those extents that no longer exist in the filesystem
/// of `top`.
///
/// An extent is freed in the transaction that removes its last reference: call `btrfs::sync` first.
pub fn freed_bytes<'a>(
    top: &impl AsFd,
    extents: impl IntoIterator<Item = &'a DiskExtent>,
) -> io::Result<u64> {
    let wanted = |extent: &DiskExtent| {
        let key = Key::new(extent.start, EXTENT_ITEM, extent.disk_length);
        Wanted {
            tree: EXTENT_TREE,
            from: key,
            to: key,
            ..Wanted::all(&[EXTENT_ITEM])
        }
    };
    let mut search = None;
    let mut bytes = 0;
    for extent in extents {
        // Also after a stop request: the result of interrupted work is reported.
        let search =
            search.get_or_insert_with(|| Search::new(top, wanted(extent)).uninterruptible());
        search.restart(wanted(extent));
        let item = search.next().transpose()?;
        // A newer extent may have the same address.
        let made = item.and_then(|item| inodes::extent_made(&item.bytes));
        if made.is_none_or(|made| made > extent.generation) {
            bytes += extent.disk_length;
        }
    }
    Ok(bytes)
}

/// Fails for an extent that no file can have.
pub(super) fn check(at: u64, extent: &DiskExtent) -> io::Result<()> {
    let ends = [at, extent.offset].map(|start| start.checked_add(extent.length));
    match ends {
        [Some(_), Some(_)] => Ok(()),
        _ => Err(malformed()),
    }
}
