//! Space on disk that subvolumes refer to, and refer to exclusively: from the trees, without quota groups.
//!
//! A [`Piece`] is freed when nothing refers to it any more. [`Trees`] are all subvolumes of a filesystem with
//! their parents. A subvolume's references are read in full, or as the difference from a relative, at the cost
//! of that difference; [`Held`] combines them. Exact for committed data: call `btrfs::sync` first. Metadata
//! (names, attributes, the trees) is not counted. Requires `CAP_SYS_ADMIN`. Changes nothing; does not know what
//! subvolumes are for.

mod descent;
mod difference;
mod held;
mod places;
mod roots;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

pub use descent::Relative;
pub use held::{Held, Sum};
pub use roots::{Location, Subvolume, by_uuid};

use super::tree_search::inodes::{self, Inode};
use super::tree_search::items::{self, EXTENT_DATA, FileExtent, INODE_ITEM, malformed};
use super::tree_search::{ItemRef, Key, Search, Wanted};
use descent::Ages;

/// Data stored once, whatever the number of references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    /// An extent: not freed as long as any part of it is referred to.
    Extent {
        /// Its start address, in bytes.
        start: u64,
    },
    /// An inline file: stored in each leaf that has it.
    Inline {
        /// The file's inode number.
        inode: u64,
        /// The transaction in which the leaf was written.
        transaction: u64,
        /// ID of the subvolume for which the leaf was written, or of a deleted one, see [`is_deleted`].
        writer: u64,
        /// Its length, in bytes.
        length: u64,
    },
}

/// A difference in the number of references to a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The piece.
    pub piece: Piece,
    /// Its size on disk, in bytes.
    pub length: u64,
    /// Number of references, positive or negative.
    pub by: i32,
}

/// The references of a subvolume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The subvolume, by index in [`Trees`], from which this is the difference; `None` if it is complete.
    pub from: Option<usize>,
    /// The pieces; one may occur several times.
    pub changes: Vec<Change>,
    /// Evidence about the writers of leaves.
    pub notes: Notes,
}

/// Evidence, from inodes, about which subvolume wrote a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Inodes in leaves that a deleted subvolume may have written.
    pub marks: Vec<Mark>,
    /// Writers, and transactions in which they changed an inode.
    pub wrote: HashSet<(u64, u64)>,
    /// Transactions whose leaves have unchanged inodes, and the number of those inodes.
    pub moved: HashMap<u64, u32>,
}

/// An inode as stored in a leaf: equal in equal leaves.
///
/// Inodes changed separately in one transaction differ in their times, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The inode's number.
    pub inode: u64,
    /// The transaction in which the leaf was written.
    pub transaction: u64,
    /// The subvolume for which the leaf was written.
    pub writer: u64,
    /// Hash of the inode item.
    pub hash: u64,
}

/// Returns whether a writer is a deleted subvolume, or one of its ancestors.
pub fn is_deleted(writer: u64) -> bool {
    writer >> 63 == 1
}

/// The subvolumes of a filesystem.
#[derive(Debug)]
pub struct Trees {
    subvolumes: Vec<Subvolume>,
    relatives: Vec<Option<Relative>>,
    ages: Vec<Ages>,
    /// The limit of newer leaves, in bytes, for a tree of some size to be compared.
    limit: fn(u64) -> u64,
    /// The last transaction in which a deleted subvolume may have written a leaf that still exists.
    doubtful: u64,
}

/// Above this fraction of newer leaves, a full read is faster than a comparison.
const PART: u64 = 3;

impl Trees {
    /// Finds the subvolumes of the filesystem of `top`, without deleted ones.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_SYS_ADMIN`.
    pub fn find(top: &File) -> io::Result<Self> {
        let subvolumes = roots::all(top)?;
        Ok(Self {
            doubtful: descent::doubtful(&subvolumes),
            relatives: descent::relatives(&subvolumes),
            ages: descent::ages(&subvolumes),
            subvolumes,
            limit: |size| size / PART,
        })
    }

    /// Compares all trees that can be compared, however different: for tests that both methods give the same result.
    #[must_use]
    pub fn always_compared(mut self) -> Self {
        self.limit = |_| u64::MAX;
        self
    }

    /// Reads every subvolume in full.
    ///
    /// Slower, but independent of the evidence in inodes and of changes while reading.
    #[must_use]
    pub fn without_relatives(mut self) -> Self {
        self.relatives.fill(None);
        self
    }

    /// Returns the subvolumes, in the order of their contents for [`Held::new`].
    pub fn subvolumes(&self) -> &[Subvolume] {
        &self.subvolumes
    }

    /// Returns each subvolume's path below the directory of `top`; `None` for those elsewhere.
    ///
    /// Of nested subvolumes, only the path of the outermost is reliable.
    pub fn below(&self, top: &File) -> io::Result<Vec<Option<PathBuf>>> {
        places::below(top, &self.subvolumes)
    }

    /// Reads the references of a subvolume.
    ///
    /// # Errors
    /// `NotFound` if it, or its relative, was deleted meanwhile.
    pub fn read(&self, top: &File, index: usize) -> io::Result<Content> {
        let tree = self.tree(top, index);
        if let Some(relative) = self.relatives[index] {
            let from = relative.index;
            let limit = (self.limit)(self.subvolumes[index].size);
            let from_tree = self.tree(top, from);
            if let Some((changes, notes)) =
                difference::changes(&tree, &from_tree, relative.common, limit)?
            {
                return Ok(Content {
                    from: Some(from),
                    changes,
                    notes,
                });
            }
        }
        tree.whole()
    }

    fn tree<'a>(&'a self, top: &'a File, index: usize) -> Tree<'a> {
        Tree {
            top,
            subvolume: &self.subvolumes[index],
            ages: &self.ages[index],
            doubtful: self.doubtful,
        }
    }
}

/// A tree to read.
#[derive(Debug, Clone, Copy)]
struct Tree<'a> {
    top: &'a File,
    subvolume: &'a Subvolume,
    ages: &'a Ages,
    doubtful: u64,
}

impl<'a> Tree<'a> {
    /// Reads all references.
    fn whole(&self) -> io::Result<Content> {
        let mut content = Content::default();
        let wanted = self.wanted(Key::FIRST, Key::LAST, &[INODE_ITEM, EXTENT_DATA]);
        self.search().each(wanted, |item| {
            if item.key.kind == INODE_ITEM {
                self.record(item, &mut content.notes)?;
            } else if let Some((piece, length)) = self.piece(item)? {
                content.changes.push(Change {
                    piece,
                    length,
                    by: 1,
                });
            }
            Ok(true)
        })?;
        Ok(content)
    }

    /// Records the evidence of an inode item, and returns the inode.
    fn record(&self, item: ItemRef<'_>, notes: &mut Notes) -> io::Result<Inode> {
        let inode = inodes::inode(item.bytes).ok_or_else(malformed)?;
        let wrote = (self.ages.writer(inode.transaction), inode.transaction);
        notes.wrote.insert(wrote);
        if self.subvolume.level == 0 {
            // The only leaf of a tree is not shared, whether moved or not.
            notes.wrote.insert((self.subvolume.id, item.transaction));
        } else if item.transaction > self.subvolume.changed.max(self.subvolume.made) {
            *notes.moved.entry(item.transaction).or_default() += 1;
        }
        if item.transaction <= self.doubtful {
            let mut hasher = DefaultHasher::new();
            item.bytes.hash(&mut hasher);
            notes.marks.push(Mark {
                inode: item.key.objectid,
                transaction: item.transaction,
                writer: self.ages.writer(item.transaction),
                hash: hasher.finish(),
            });
        }
        Ok(inode)
    }

    /// Returns a search to be used several times.
    fn search(&self) -> Search<'a> {
        Search::new(self.top, self.wanted(Key::FIRST, Key::LAST, &[]))
    }

    fn wanted(&self, from: Key, to: Key, kinds: &'static [u8]) -> Wanted {
        Wanted {
            tree: self.subvolume.id,
            from,
            to,
            ..Wanted::all(kinds)
        }
    }

    /// Passes every reference between two keys, with the piece's size, to `found`.
    fn pieces(
        &self,
        search: &mut Search<'_>,
        from: Key,
        to: Key,
        mut found: impl FnMut(Piece, u64),
    ) -> io::Result<()> {
        search.each(self.wanted(from, to, &[EXTENT_DATA]), |item| {
            if let Some((piece, length)) = self.piece(item)? {
                found(piece, length);
            }
            Ok(true)
        })
    }

    /// Returns the piece of an item of type [`EXTENT_DATA`] and its size; `None` for a hole.
    fn piece(&self, item: ItemRef<'_>) -> io::Result<Option<(Piece, u64)>> {
        /// Size of the header of inline data (`BTRFS_FILE_EXTENT_INLINE_DATA_START`, linux/btrfs_tree.h).
        const INLINE_HEADER: u64 = 21;
        let extent = items::file_extent(item.bytes).ok_or_else(malformed)?;
        Ok(match extent {
            FileExtent::Hole => None,
            FileExtent::Disk(extent) => Some((
                Piece::Extent {
                    start: extent.start,
                },
                extent.disk_length,
            )),
            FileExtent::Inline => {
                let length = (item.bytes.len() as u64).saturating_sub(INLINE_HEADER);
                let piece = Piece::Inline {
                    inode: item.key.objectid,
                    transaction: item.transaction,
                    writer: self.ages.writer(item.transaction),
                    length,
                };
                Some((piece, length))
            }
        })
    }
}
