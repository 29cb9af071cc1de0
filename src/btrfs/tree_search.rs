//! Items of btrfs' own trees: which there are, by key, and their bytes.
//!
//! A [`Search`] walks part of one tree in the order of keys (`BTRFS_IOC_TREE_SEARCH_V2`; needs `CAP_SYS_ADMIN`), and
//! [`items`] takes apart what it finds. It sees the trees as they are now, committed or not. File data that still
//! waits in memory is in no tree: `btrfs::sync` comes first where that matters. Nothing is changed by it.

pub mod inodes;
mod ioctl;
pub mod items;

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};

use ioctl::{Arguments, ROOM, SearchKey, search};

/// The tree of the subvolume that the descriptor of a search lies in.
pub const OWN_TREE: u64 = 0;

/// What an item is called: its place in the order of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it belongs to: in a subvolume's tree an inode number.
    pub objectid: u64,
    /// What it is, such as [`items::EXTENT_DATA`].
    pub kind: u8,
    /// What that kind makes of it, such as where in the file an extent begins.
    pub offset: u64,
}

impl Key {
    /// The first key there can be.
    pub const FIRST: Self = Self {
        objectid: 0,
        kind: 0,
        offset: 0,
    };

    /// The last key there can be.
    pub const LAST: Self = Self {
        objectid: u64::MAX,
        kind: u8::MAX,
        offset: u64::MAX,
    };

    /// Returns the key after this one; `None` after the last.
    fn successor(self) -> Option<Self> {
        let first = |objectid, kind| Self {
            objectid,
            kind,
            offset: 0,
        };
        match self {
            Self::LAST => None,
            Self {
                kind: u8::MAX,
                offset: u64::MAX,
                ..
            } => Some(first(self.objectid + 1, 0)),
            Self {
                offset: u64::MAX, ..
            } => Some(first(self.objectid, self.kind + 1)),
            _ => Some(Self {
                offset: self.offset + 1,
                ..self
            }),
        }
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Number of the tree; [`OWN_TREE`] for that of the subvolume at hand.
    pub tree: u64,
    /// The first key.
    pub from: Key,
    /// The last key, itself included.
    pub to: Key,
    /// Leaves written in no later a transaction than this are passed over unread.
    ///
    /// A leaf is written anew as a whole, so what is found can be older all the same.
    pub after: u64,
    /// The kinds that are found.
    pub kinds: &'static [u8],
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: Key,
    /// The transaction its leaf was last written in.
    pub transaction: u64,
    /// What is in it, as on disk: little-endian, packed.
    pub bytes: Vec<u8>,
}

/// One item where the kernel put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its key.
    pub key: Key,
    /// The transaction its leaf was last written in.
    pub transaction: u64,
    /// What is in it, as on disk: little-endian, packed.
    pub bytes: &'a [u8],
}

/// The items of a tree that are looked for, in the order of their keys; ends after the first error.
#[derive(Debug)]
pub struct Search<'a> {
    top: BorrowedFd<'a>,
    wanted: Wanted,
    /// Where to go on; `None` at the end.
    next: Option<Key>,
    found: Buffer,
    /// How many items of the answer are still to be taken, and where the next one is.
    left: u32,
    at: usize,
    /// Whether it ends when netbe is asked to stop.
    stops: bool,
}

thread_local! {
    /// The buffer of a search that has ended: for many small ones a new one each would be most of the work.
    static SPARE: Cell<Option<Box<Arguments>>> = const { Cell::new(None) };
}

/// The buffer of a search, kept for the next one.
#[derive(Debug)]
struct Buffer(Option<Box<Arguments>>);

impl Buffer {
    fn new() -> Self {
        Self(Some(SPARE.take().unwrap_or_else(|| {
            Box::new(Arguments {
                key: SearchKey::default(),
                buf_size: ROOM as u64,
                buf: [0; ROOM],
            })
        })))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        SPARE.set(self.0.take());
    }
}

impl Deref for Buffer {
    type Target = Arguments;

    fn deref(&self) -> &Arguments {
        self.0.as_deref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Arguments {
        self.0
            .as_deref_mut()
            .expect("it is there until it is dropped")
    }
}

impl<'a> Search<'a> {
    /// Begins a search in the filesystem of an open file or directory; it ends when netbe is asked to stop.
    pub fn new(top: &'a impl AsFd, wanted: Wanted) -> Self {
        Self {
            top: top.as_fd(),
            wanted,
            next: Some(wanted.from),
            found: Buffer::new(),
            left: 0,
            at: 0,
            stops: true,
        }
    }

    /// Has it go on when netbe is asked to stop: for what takes away what was being made.
    #[must_use]
    pub fn regardless(mut self) -> Self {
        self.stops = false;
        self
    }

    /// Begins another search in the same filesystem: for many small ones a buffer each would be most of the work.
    pub fn again(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.next = Some(wanted.from);
        self.left = 0;
    }

    /// Shows every item that is wanted to `look`, until that says false; copies none of them.
    ///
    /// # Errors
    /// `NotFound` where there is no such tree; what `look` fails with.
    pub fn each(
        &mut self,
        wanted: Wanted,
        mut look: impl FnMut(Seen<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.again(wanted);
        while self.fill()? {
            let mut next = self.next;
            for _ in 0..self.left {
                let rest = self.found.buf.get(self.at..).ok_or_else(garbled)?;
                let (item, taken) = items::seen(rest).ok_or_else(garbled)?;
                if next.is_none_or(|next| item.key < next) {
                    return Err(garbled());
                }
                self.at += taken;
                next = item.key.successor();
                if wanted.kinds.contains(&item.key.kind) && !look(item)? {
                    return Ok(());
                }
            }
            self.next = next;
        }
        Ok(())
    }

    /// Asks the kernel for more; false where there is none.
    fn fill(&mut self) -> io::Result<bool> {
        let (from, to) = match self.next {
            Some(next) if next <= self.wanted.to => (next, self.wanted.to),
            _ => return Ok(false),
        };
        if self.stops {
            crate::fs::interrupt::check_io()?;
        }
        self.found.key = SearchKey {
            tree_id: self.wanted.tree,
            min_objectid: from.objectid,
            max_objectid: to.objectid,
            min_offset: from.offset,
            max_offset: to.offset,
            min_transid: self.wanted.after.saturating_add(1),
            max_transid: u64::MAX,
            min_type: from.kind.into(),
            max_type: to.kind.into(),
            nr_items: u32::MAX,
            ..SearchKey::default()
        };
        self.found.buf_size = ROOM as u64;
        search(self.top, &mut self.found)?;
        self.left = self.found.key.nr_items;
        self.at = 0;
        Ok(self.left > 0)
    }

    /// Takes the next item of the answer, whatever its kind.
    fn take(&mut self) -> io::Result<Item> {
        let rest = self.found.buf.get(self.at..).ok_or_else(garbled)?;
        let (item, taken) = items::item(rest).ok_or_else(garbled)?;
        // An answer that does not go forward would be asked for again for ever.
        if self.next.is_none_or(|next| item.key < next) {
            return Err(garbled());
        }
        self.at += taken;
        self.left -= 1;
        self.next = item.key.successor();
        Ok(item)
    }

    fn stop(&mut self) {
        self.next = None;
        self.left = 0;
    }
}

impl Iterator for Search<'_> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.left == 0 {
                match self.fill() {
                    Ok(true) => {}
                    Ok(false) => {
                        self.stop();
                        return None;
                    }
                    Err(e) => {
                        self.stop();
                        return Some(Err(e));
                    }
                }
            }
            match self.take() {
                // The kernel gives everything between two keys, and knows no filter of kinds.
                Ok(item) if !self.wanted.kinds.contains(&item.key.kind) => {}
                Ok(item) => return Some(Ok(item)),
                Err(e) => {
                    self.stop();
                    return Some(Err(e));
                }
            }
        }
    }
}

fn garbled() -> io::Error {
    io::Error::other("the kernel's answer to a tree search makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_each_other_as_the_tree_orders_them() {
        let key = |objectid, kind, offset| Key {
            objectid,
            kind,
            offset,
        };
        for (before, after) in [
            (Key::FIRST, Some(key(0, 0, 1))),
            (key(256, 108, 4096), Some(key(256, 108, 4097))),
            (key(256, 108, u64::MAX), Some(key(256, 109, 0))),
            (key(256, 255, u64::MAX), Some(key(257, 0, 0))),
            (key(u64::MAX, 255, 0), Some(key(u64::MAX, 255, 1))),
            (Key::LAST, None),
        ] {
            assert_eq!(before.successor(), after, "{before:?}");
            assert!(after.is_none_or(|after| before < after));
        }
    }
}
