//! Where on disk the files of a subvolume lie, and so which of two files share their space already.
//!
//! Told by the trees: not a byte of a file is read. Data that still waits in memory is not seen: `btrfs::sync` comes
//! first. Small files that stand in the trees themselves can be shared with nothing, and are left out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use super::search::inodes::{self, EXTENT_ITEM, EXTENT_TREE, INODE_ITEM};
use super::search::items::{self, DiskExtent, EXTENT_DATA, FileExtent, INODE_EXTREF, INODE_REF};
use super::search::{Item, Key, OWN_TREE, Search, Wanted};
use super::written::TOP;

/// The deepest directory a path is made for: no longer one could be opened (`PATH_MAX`).
const DEPTH: usize = 2048;

/// The type bits of `st_mode`, and those of a regular file.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Part of a file that lies in one piece on disk; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Where in the file it begins.
    pub at: u64,
    /// How long it is there; the last one can reach beyond the file's end.
    pub length: u64,
    /// Where the extent it is part of begins in the filesystem.
    pub extent: u64,
    /// Where in that extent it begins.
    pub offset: u64,
}

/// Where a file lies: its pieces in order, as few as there can be; and the extents they are parts of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The pieces.
    pub pieces: Vec<Piece>,
    /// The extents, and how often the file refers to it.
    pub extents: Vec<(DiskExtent, u32)>,
}

impl Layout {
    /// Takes up one more extent item of a file that is `size` bytes long.
    pub(super) fn push(&mut self, at: u64, extent: DiskExtent, size: u64) {
        // Space beyond the end belongs to no content: two files that differ in it alone hold the same.
        if at >= size {
            return;
        }
        let piece = Piece {
            at,
            length: extent.length,
            extent: extent.start,
            offset: extent.offset,
        };
        // Neighbours are what refers to the same; a search of all would take the square of a large file's extents.
        match self
            .extents
            .iter_mut()
            .rev()
            .take(8)
            .find(|(e, _)| e.start == extent.start)
        {
            Some((_, times)) => *times += 1,
            None => self.extents.push((extent, 1)),
        }
        match self.pieces.last_mut() {
            Some(last) if last.goes_on_with(&piece) => last.length += piece.length,
            _ => self.pieces.push(piece),
        }
    }

    /// Returns what the extents take on disk, in bytes.
    pub fn disk(&self) -> u64 {
        self.extents.iter().map(|(e, _)| e.disk_length).sum()
    }

    /// Returns the ranges of the file whose space another one does not have at the same place.
    pub fn apart_from(&self, other: &Self) -> Vec<Range<u64>> {
        let mut apart = Vec::new();
        for piece in &self.pieces {
            if !other.pieces.iter().any(|o| o.covers(piece)) {
                apart.push(piece.at..piece.at + piece.length);
            }
        }
        apart
    }

    /// Returns where in a file of this size the two lie at different places, or one has something and the other nothing.
    pub fn elsewhere(&self, other: &Self, size: u64) -> Vec<Range<u64>> {
        let mut all = self.apart_from(other);
        all.extend(other.apart_from(self));
        all.sort_by_key(|range| (range.start, range.end));
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in all {
            let range = range.start..range.end.min(size);
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    /// Returns what those extents take on disk, in bytes, that the other one has none of.
    pub fn own(&self, other: &Self) -> u64 {
        let is_own =
            |e: &&(DiskExtent, u32)| !other.extents.iter().any(|(o, _)| o.start == e.0.start);
        self.extents
            .iter()
            .filter(is_own)
            .map(|(e, _)| e.disk_length)
            .sum()
    }

    /// Returns whether a file of this size that lies as the other one does holds the same without being read.
    pub fn lies_as(&self, other: &Self, size: u64) -> bool {
        let up_to_the_end = |piece: &Piece| Piece {
            length: piece.length.min(size - piece.at),
            ..*piece
        };
        let (one, other) = (self.pieces.iter(), other.pieces.iter());
        one.map(up_to_the_end).eq(other.map(up_to_the_end))
    }

    /// Returns a number that is the same for files of the same size that lie at the same place; as good as never for others.
    fn mark(&self, size: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        for piece in &self.pieces {
            let length = piece.length.min(size - piece.at);
            Piece { length, ..*piece }.hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Piece {
    fn goes_on_with(&self, next: &Self) -> bool {
        self.extent == next.extent
            && self.at + self.length == next.at
            && self.offset + self.length == next.offset
    }

    fn covers(&self, other: &Self) -> bool {
        self.extent == other.extent
            && self.at <= other.at
            && self.at + self.length >= other.at + other.length
            && self.offset + (other.at - self.at) == other.offset
    }
}

/// A regular file that has space on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
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
pub fn files(top: &impl AsFd) -> io::Result<Vec<Stored>> {
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

    fn files(mut self) -> Vec<Stored> {
        self.close();
        let mut known = HashMap::from([(TOP, Some(0))]);
        let mut files = Vec::with_capacity(self.found.len());
        for found in std::mem::take(&mut self.found) {
            let paths = found.names.iter();
            let paths = paths.filter_map(|(at, name)| {
                let above = self.path(*at, &mut known)?;
                Some(number(&(above, name)))
            });
            files.push(Stored {
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
        let search = search.get_or_insert_with(|| Search::new(top, wanted(extent)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, offset: u64, length: u64) -> DiskExtent {
        DiskExtent {
            generation: 1,
            start,
            disk_length: 1 << 20,
            offset,
            length,
        }
    }

    fn layout(parts: &[(u64, DiskExtent)], size: u64) -> Layout {
        let mut layout = Layout::default();
        for (at, extent) in parts {
            layout.push(*at, *extent, size);
        }
        layout
    }

    #[test]
    fn one_piece_in_several_items_is_one_piece() {
        let whole = layout(&[(0, extent(7, 0, 20_480))], 20_000);
        let parts = [
            (0, extent(7, 0, 8192)),
            (8192, extent(7, 8192, 12_288)),
            // Beyond the end.
            (20_480, extent(9, 0, 4096)),
        ];
        let parts = layout(&parts, 20_000);
        assert_eq!(whole, parts);
        assert_eq!(whole.mark(20_000), parts.mark(20_000));
        assert_eq!(whole.disk(), 1 << 20);
        let other = layout(&[(0, extent(8, 0, 20_480))], 20_000);
        assert_ne!(whole.mark(20_000), other.mark(20_000));
    }

    // One range is what is meant.
    #[allow(clippy::single_range_in_vec_init)]
    #[test]
    fn only_what_lies_elsewhere_is_apart() {
        let size = 20_480;
        let one = layout(&[(0, extent(7, 0, 20_480))], size);
        let two = [(0, extent(7, 0, 4096)), (4096, extent(8, 0, 16_384))];
        let two = layout(&two, size);
        assert_eq!(two.apart_from(&one), [4096..20_480]);
        assert_eq!(one.apart_from(&two), [0..20_480]);
        assert!(one.apart_from(&one).is_empty());
        let moved = layout(&[(0, extent(7, 4096, 20_480))], size);
        assert_eq!(moved.apart_from(&one), [0..20_480]);
    }
}
