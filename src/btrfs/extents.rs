//! Where on disk the files of a subvolume lie, and so which of two files share their space already.
//!
//! Told by the trees: not a byte of a file is read. Data that still waits in memory is not seen: `btrfs::sync` comes
//! first. Small files that stand in the trees themselves can be shared with nothing, and are left out.

mod layout;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::AsFd;

use super::changed_since::TOP;
use super::tree_search::inodes::{self, EXTENT_ITEM, EXTENT_TREE, INODE_ITEM};
use super::tree_search::items::{
    self, DiskExtent, EXTENT_DATA, FileExtent, INODE_EXTREF, INODE_REF,
};
use super::tree_search::{Item, Key, OWN_TREE, Search, Wanted};

pub use layout::{Layout, Piece};

/// The deepest directory a path is made for: no longer one could be opened (`PATH_MAX`).
const DEPTH: usize = 2048;

/// The type bits of `st_mode`, and those of a regular file.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// A regular file that has space on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its inode number.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Numbers of its paths, one for each: the same for the same path in whichever subvolume.
    pub paths: Vec<u64>,
    /// A number of where it lies: the same for files that share all they have.
    pub mark: u64,
    /// What its extents take on disk, in bytes, and each of them.
    pub disk: u64,
    /// The extents, by where they begin, one for each time the file refers to it.
    pub references: Vec<u64>,
}

/// Returns the files of the subvolume that `top` is open on.
///
/// # Errors
/// Where the trees cannot be searched, or hold what makes no sense.
pub fn files(top: &impl AsFd) -> io::Result<Vec<StoredFile>> {
    let wanted = Wanted {
        tree: OWN_TREE,
        from: Key::FIRST,
        to: Key::LAST,
        after: 0,
        kinds: &[INODE_ITEM, INODE_REF, INODE_EXTREF, EXTENT_DATA],
    };
    let mut reader = Reader::default();
    for item in Search::new(top, wanted) {
        reader.take(&item?).ok_or_else(garbled)?;
    }
    Ok(reader.files())
}

/// Puts a subvolume's items together to files.
#[derive(Debug, Default)]
struct Reader {
    /// For each inode the directory it stands in, with the number of its name there.
    directories: HashMap<u64, (u64, u64)>,
    found: Vec<Found>,
    /// The inode whose items come now.
    now: Option<Found>,
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
    fn take(&mut self, item: &Item) -> Option<()> {
        if item.key.kind == INODE_ITEM {
            self.close();
            let what = inodes::inode(&item.bytes)?;
            self.now = Some(Found {
                inode: item.key.objectid,
                mode: what.mode,
                size: what.size,
                names: Vec::new(),
                layout: Layout::default(),
                references: Vec::new(),
            });
            return Some(());
        }
        // The tree has items of its own, too, that belong to no inode.
        let Some(now) = self.now.as_mut().filter(|n| n.inode == item.key.objectid) else {
            return Some(());
        };
        if item.key.kind != EXTENT_DATA {
            let names = items::names(item)?;
            now.names
                .extend(names.into_iter().map(|(at, name)| (at, number(&name))));
            return Some(());
        }
        if let FileExtent::Disk(extent) = items::file_extent(&item.bytes)? {
            check(item.key.offset, &extent).ok()?;
            now.references.push(extent.start);
            now.layout.push(item.key.offset, extent, now.size);
        }
        Some(())
    }

    fn close(&mut self) {
        let Some(done) = self.now.take() else {
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
        self.close();
        let mut known = HashMap::from([(TOP, Some(0))]);
        let mut files = Vec::with_capacity(self.found.len());
        for found in std::mem::take(&mut self.found) {
            let paths = found.names.iter();
            let paths = paths.filter_map(|(at, name)| {
                let above = self.path(*at, &mut known)?;
                Some(number(&(above, name)))
            });
            files.push(StoredFile {
                paths: paths.collect(),
                inode: found.inode,
                size: found.size,
                mark: found.layout.mark(found.size),
                disk: found.layout.disk(),
                references: found.references,
            });
        }
        files
    }

    /// Returns the number of a directory's path; `None` for one that hangs in no tree.
    fn path(&self, inode: u64, known: &mut HashMap<u64, Option<u64>>) -> Option<u64> {
        let mut climbed = Vec::new();
        let mut at = inode;
        let mut path = loop {
            if let Some(path) = known.get(&at) {
                break *path;
            }
            // A circle, which no sound tree has, ends at the depth.
            match self.directories.get(&at) {
                Some((above, name)) if climbed.len() < DEPTH => {
                    climbed.push((at, *name));
                    at = *above;
                }
                _ => break None,
            }
        };
        for (inode, name) in climbed.into_iter().rev() {
            path = path.map(|above| number(&(above, &name)));
            known.insert(inode, path);
        }
        path
    }
}

fn number(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Returns where one file of the subvolume lies that `top` is open on.
pub fn layout(top: &impl AsFd, inode: u64, size: u64) -> io::Result<Layout> {
    let key = |offset| Key {
        objectid: inode,
        kind: EXTENT_DATA,
        offset,
    };
    let wanted = Wanted {
        tree: OWN_TREE,
        from: key(0),
        to: key(u64::MAX),
        after: 0,
        kinds: &[EXTENT_DATA],
    };
    let mut layout = Layout::default();
    for item in Search::new(top, wanted) {
        let item = item?;
        if let FileExtent::Disk(extent) = items::file_extent(&item.bytes).ok_or_else(garbled)? {
            check(item.key.offset, &extent)?;
            layout.push(item.key.offset, extent, size);
        }
    }
    Ok(layout)
}

/// Returns how many bytes on disk those of the extents took that are gone from the filesystem that `top` is open in.
///
/// Extents go with the transaction in which the last file lets go of them: `btrfs::sync` comes first.
pub fn gone<'a>(
    top: &impl AsFd,
    extents: impl IntoIterator<Item = &'a DiskExtent>,
) -> io::Result<u64> {
    let wanted = |extent: &DiskExtent| {
        let key = Key {
            objectid: extent.start,
            kind: EXTENT_ITEM,
            offset: extent.disk_length,
        };
        Wanted {
            tree: EXTENT_TREE,
            from: key,
            to: key,
            after: 0,
            kinds: &[EXTENT_ITEM],
        }
    };
    let mut search = None;
    let mut bytes = 0;
    for extent in extents {
        // Also of work that was stopped it is said what it came to.
        let search = search.get_or_insert_with(|| Search::new(top, wanted(extent)).regardless());
        search.again(wanted(extent));
        let there = search.next().transpose()?;
        // A younger one has taken its place.
        let made = there.and_then(|item| inodes::extent_made(&item.bytes));
        if made.is_none_or(|made| made > extent.generation) {
            bytes += extent.disk_length;
        }
    }
    Ok(bytes)
}

/// Refuses a part of a file that no file could have.
pub(super) fn check(at: u64, extent: &DiskExtent) -> io::Result<()> {
    let ends = [at, extent.offset].map(|start| start.checked_add(extent.length));
    match ends {
        [Some(_), Some(_)] => Ok(()),
        _ => Err(garbled()),
    }
}

fn garbled() -> io::Error {
    io::Error::other("a subvolume's tree holds an item that makes no sense")
}
