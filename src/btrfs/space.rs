//! What subvolumes hold on disk, and what of it they hold alone: from the trees themselves, without quota groups.
//!
//! A [`Piece`] is what comes back as one when nothing refers to it any more. [`Trees`] are all the subvolumes of a
//! filesystem and how they descend from each other; the content of each is read whole, or as its difference from a
//! relative's, which costs what differs; [`Held`] puts them together. Exact for what has been written and committed:
//! `btrfs::sync` comes first. What names, attributes and the trees themselves take is not counted. Needs
//! `CAP_SYS_ADMIN`. Nothing here is changed, and nothing knows whose a subvolume is.

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
pub use roots::{Place, Subvolume};

use super::tree_search::inodes::{self, Inode};
use super::tree_search::items::{self, EXTENT_DATA, FileExtent, INODE_ITEM};
use super::tree_search::{Key, Search, Seen, Wanted};
use descent::Ages;

/// What is on disk once, however often files refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    /// An extent: it stays whole while any part of it is referred to.
    Extent {
        /// Where it begins in the filesystem, in bytes.
        start: u64,
    },
    /// A small file in a leaf of a tree: on disk as often as there are such leaves.
    Inline {
        /// The file's inode number.
        inode: u64,
        /// The transaction the leaf was written in.
        transaction: u64,
        /// The subvolume whose tree it was written for, by number; or one that is gone, see [`is_gone`].
        writer: u64,
        /// What it takes, in bytes.
        length: u64,
    },
}

/// How many times more, or less, a piece is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub piece: Piece,
    /// What it takes on disk, in bytes.
    pub length: u64,
    /// How many references.
    pub by: i32,
}

/// What a subvolume refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Of which other subvolume this is the difference, by its place in [`Trees`]; `None` where it is all there is.
    pub from: Option<usize>,
    /// The pieces; the same one can be there several times.
    pub changes: Vec<Change>,
    /// What its inodes tell of others.
    pub notes: Notes,
}

/// What inodes tell of who wrote a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Inodes in leaves of the time when somebody who is gone may have written them.
    pub marks: Vec<Mark>,
    /// Writers, and transactions they changed anything in.
    pub wrote: HashSet<(u64, u64)>,
    /// Transactions that wrote leaves where nothing was changed, and how many inodes are in those.
    pub moved: HashMap<u64, u32>,
}

/// What an inode said in a leaf: the same leaf says the same.
///
/// Two that were changed in one transaction, each by itself, differ in their times, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The inode's number.
    pub inode: u64,
    /// The transaction the leaf was written in.
    pub transaction: u64,
    /// The subvolume the leaf was written for.
    pub writer: u64,
    /// What the inode said, hashed.
    pub said: u64,
}

/// Returns whether a writer is no subvolume, but one that is gone, or whoever that was made of.
pub fn is_gone(writer: u64) -> bool {
    writer >> 63 == 1
}

/// The subvolumes of a filesystem.
#[derive(Debug)]
pub struct Trees {
    subvolumes: Vec<Subvolume>,
    relatives: Vec<Option<Relative>>,
    ages: Vec<Ages>,
    /// How much of a tree of some size may be newer for it to be compared, in bytes.
    most: fn(u64) -> u64,
    /// The last transaction that somebody who is gone may have written anything in.
    doubtful: u64,
}

/// Where more than this part of a tree is newer, reading the whole is quicker than comparing.
const PART: u64 = 3;

impl Trees {
    /// Finds the subvolumes of the filesystem that `top` lies in, those already deleted left out.
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
            most: |size| size / PART,
        })
    }

    /// Has everything compared that can be, however much of it differs: to see that it makes no difference.
    #[must_use]
    pub fn compared(mut self) -> Self {
        self.most = |_| u64::MAX;
        self
    }

    /// Forgets who descends from whom, so that every content is read whole.
    ///
    /// Slower, and leans on less: neither on what inodes say of themselves, nor on all being read at one moment.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.relatives.fill(None);
        self
    }

    /// Returns them, in the order their contents have for [`Held::new`].
    pub fn subvolumes(&self) -> &[Subvolume] {
        &self.subvolumes
    }

    /// Returns the path of each below the directory `top` is open on; `None` for those that are not below it.
    ///
    /// Of one that stands in another one below, only the path of that other is sure.
    pub fn below(&self, top: &File) -> io::Result<Vec<Option<PathBuf>>> {
        places::below(top, &self.subvolumes)
    }

    /// Reads what one of them refers to.
    ///
    /// # Errors
    /// `NotFound` where it, or the one it is compared with, has been deleted meanwhile.
    pub fn read(&self, top: &File, index: usize) -> io::Result<Content> {
        let tree = self.tree(top, index);
        if let Some(relative) = self.relatives[index] {
            let from = relative.index;
            let most = (self.most)(self.subvolumes[index].size);
            let from_tree = self.tree(top, from);
            if let Some((changes, notes)) =
                difference::changes(&tree, &from_tree, relative.common, most)?
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
            of: &self.subvolumes[index],
            ages: &self.ages[index],
            doubtful: self.doubtful,
        }
    }
}

/// One tree that is read.
#[derive(Debug, Clone, Copy)]
struct Tree<'a> {
    top: &'a File,
    of: &'a Subvolume,
    ages: &'a Ages,
    doubtful: u64,
}

impl<'a> Tree<'a> {
    /// Reads all there is.
    fn whole(&self) -> io::Result<Content> {
        let mut content = Content::default();
        let wanted = self.wanted(Key::FIRST, Key::LAST, &[INODE_ITEM, EXTENT_DATA]);
        self.search().each(wanted, |item| {
            if item.key.kind == INODE_ITEM {
                self.note(item, &mut content.notes)?;
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

    /// Notes what is to be remembered of an item of kind [`INODE_ITEM`], and returns what it says.
    fn note(&self, item: Seen<'_>, notes: &mut Notes) -> io::Result<Inode> {
        let inode = inodes::inode(item.bytes).ok_or_else(garbled)?;
        let wrote = (self.ages.writer(inode.transaction), inode.transaction);
        notes.wrote.insert(wrote);
        if self.of.level == 0 {
            // Its one leaf is nobody else's, moved or not.
            notes.wrote.insert((self.of.id, item.transaction));
        } else if item.transaction > self.of.changed.max(self.of.made) {
            *notes.moved.entry(item.transaction).or_default() += 1;
        }
        if item.transaction <= self.doubtful {
            let mut hasher = DefaultHasher::new();
            item.bytes.hash(&mut hasher);
            notes.marks.push(Mark {
                inode: item.key.objectid,
                transaction: item.transaction,
                writer: self.ages.writer(item.transaction),
                said: hasher.finish(),
            });
        }
        Ok(inode)
    }

    /// Returns what is to be used for many searches, one after another.
    fn search(&self) -> Search<'a> {
        Search::new(self.top, self.wanted(Key::FIRST, Key::LAST, &[]))
    }

    fn wanted(&self, from: Key, to: Key, kinds: &'static [u8]) -> Wanted {
        Wanted {
            tree: self.of.id,
            from,
            to,
            after: 0,
            kinds,
        }
    }

    /// Shows every reference between two keys, and what its piece takes.
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

    /// Returns the piece that an item of kind [`EXTENT_DATA`] refers to, and what it takes; `None` for a hole.
    fn piece(&self, item: Seen<'_>) -> io::Result<Option<(Piece, u64)>> {
        /// What precedes the data of a small file (`BTRFS_FILE_EXTENT_INLINE_DATA_START`, linux/btrfs_tree.h).
        const BEFORE: u64 = 21;
        let extent = items::file_extent(item.bytes).ok_or_else(garbled)?;
        Ok(match extent {
            FileExtent::Hole => None,
            FileExtent::Disk(extent) => Some((
                Piece::Extent {
                    start: extent.start,
                },
                extent.disk_length,
            )),
            FileExtent::Inline => {
                let length = (item.bytes.len() as u64).saturating_sub(BEFORE);
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

fn garbled() -> io::Error {
    io::Error::other("a subvolume's tree holds an item that makes no sense")
}
