//! Searches items of btrfs trees by key.
//!
//! A [`Search`] walks a range of one tree in key order (`BTRFS_IOC_TREE_SEARCH_V2`; requires `CAP_SYS_ADMIN`),
//! and [`items`] parses what it finds. It sees the current trees, committed or not. File data not yet written
//! out is in no tree: call `btrfs::sync` first where that matters. Changes nothing.

pub mod inodes;
mod ioctl;
pub mod items;

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};

use ioctl::{Arguments, BUFFER_SIZE, SearchKey, search};

/// The tree of the subvolume of the search's descriptor.
pub const OWN_TREE: u64 = 0;

/// The key of an item, which orders a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Object ID: in a subvolume's tree an inode number.
    pub objectid: u64,
    /// Type, such as [`items::EXTENT_DATA`].
    pub kind: u8,
    /// Offset; its meaning depends on the type, such as an extent's position in the file.
    pub offset: u64,
}

impl Key {
    /// The lowest key.
    pub const FIRST: Self = Self::new(0, 0, 0);

    /// The highest key.
    pub const LAST: Self = Self::new(u64::MAX, u8::MAX, u64::MAX);

    /// Returns a key.
    pub const fn new(objectid: u64, kind: u8, offset: u64) -> Self {
        Self {
            objectid,
            kind,
            offset,
        }
    }

    /// Returns the key after this one; `None` after the last.
    fn successor(self) -> Option<Self> {
        match (self.objectid, self.kind, self.offset) {
            (u64::MAX, u8::MAX, u64::MAX) => None,
            (objectid, u8::MAX, u64::MAX) => Some(Self::new(objectid + 1, 0, 0)),
            (objectid, kind, u64::MAX) => Some(Self::new(objectid, kind + 1, 0)),
            (objectid, kind, offset) => Some(Self::new(objectid, kind, offset + 1)),
        }
    }
}

/// A search request.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// ID of the tree; [`OWN_TREE`] for that of the descriptor's subvolume.
    pub tree: u64,
    /// The first key.
    pub from: Key,
    /// The last key, inclusive.
    pub to: Key,
    /// Leaves not written after this transaction are skipped.
    ///
    /// A leaf is rewritten as a whole, so items found may be older.
    pub after: u64,
    /// The types to return.
    pub kinds: &'static [u8],
}

impl Wanted {
    /// Searches all items of these types, in the subvolume of the descriptor.
    pub fn all(kinds: &'static [u8]) -> Self {
        Self {
            tree: OWN_TREE,
            from: Key::FIRST,
            to: Key::LAST,
            after: 0,
            kinds,
        }
    }

    /// Searches an inode's items of these consecutive types.
    pub fn of(inode: u64, kinds: &'static [u8]) -> Self {
        Self {
            from: Key::new(inode, kinds[0], 0),
            to: Key::new(inode, kinds[kinds.len() - 1], u64::MAX),
            ..Self::all(kinds)
        }
    }
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: Key,
    /// The transaction in which its leaf was last written.
    pub transaction: u64,
    /// Its bytes as on disk: little-endian, packed.
    pub bytes: Vec<u8>,
}

/// An item in the kernel's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemRef<'a> {
    /// Its key.
    pub key: Key,
    /// The transaction in which its leaf was last written.
    pub transaction: u64,
    /// Its bytes as on disk: little-endian, packed.
    pub bytes: &'a [u8],
}

/// Iterates over matching items in key order; ends after the first error.
#[derive(Debug)]
pub struct Search<'a> {
    top: BorrowedFd<'a>,
    wanted: Wanted,
    /// The key to continue with; `None` at the end.
    next: Option<Key>,
    found: Buffer,
    /// Items left in the buffer, and the offset of the next.
    left: u32,
    at: usize,
    /// Whether a stop request ends it.
    interruptible: bool,
}

thread_local! {
    /// The buffer of an earlier search: allocating one for each of many small searches would be most of the work.
    static SPARE: Cell<Option<Box<Arguments>>> = const { Cell::new(None) };
}

/// A search's buffer, reused by the next search.
#[derive(Debug)]
struct Buffer(Option<Box<Arguments>>);

impl Buffer {
    fn new() -> Self {
        Self(Some(SPARE.take().unwrap_or_else(|| {
            Box::new(Arguments {
                key: SearchKey::default(),
                buf_size: BUFFER_SIZE as u64,
                buf: [0; BUFFER_SIZE],
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
    /// Starts a search in the filesystem of an open file; a stop request ends it.
    pub fn new(top: &'a impl AsFd, wanted: Wanted) -> Self {
        Self {
            top: top.as_fd(),
            wanted,
            next: Some(wanted.from),
            found: Buffer::new(),
            left: 0,
            at: 0,
            interruptible: true,
        }
    }

    /// Continues after a stop request: for the removal of unfinished work.
    #[must_use]
    pub fn uninterruptible(mut self) -> Self {
        self.interruptible = false;
        self
    }

    /// Starts another search in the same filesystem with the same buffer.
    pub fn restart(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.next = Some(wanted.from);
        self.left = 0;
    }

    /// Passes every matching item to `visit`, without a copy, until that returns false.
    ///
    /// # Errors
    /// `NotFound` if the tree does not exist; errors of `visit`.
    pub fn each(
        &mut self,
        wanted: Wanted,
        mut visit: impl FnMut(ItemRef<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.restart(wanted);
        while self.fill()? {
            let mut next = self.next;
            for _ in 0..self.left {
                let rest = self.found.buf.get(self.at..).ok_or_else(malformed)?;
                let (item, taken) = items::item_ref(rest).ok_or_else(malformed)?;
                if next.is_none_or(|next| item.key < next) {
                    return Err(malformed());
                }
                self.at += taken;
                next = item.key.successor();
                if wanted.kinds.contains(&item.key.kind) && !visit(item)? {
                    return Ok(());
                }
            }
            self.next = next;
        }
        Ok(())
    }

    /// Requests the next items; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let (from, to) = match self.next {
            Some(next) if next <= self.wanted.to => (next, self.wanted.to),
            _ => return Ok(false),
        };
        if self.interruptible {
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
        self.found.buf_size = BUFFER_SIZE as u64;
        search(self.top, &mut self.found)?;
        self.left = self.found.key.nr_items;
        self.at = 0;
        Ok(self.left > 0)
    }

    /// Takes the next item from the buffer, of any type.
    fn take(&mut self) -> io::Result<Item> {
        let rest = self.found.buf.get(self.at..).ok_or_else(malformed)?;
        let (item, taken) = items::item(rest).ok_or_else(malformed)?;
        // A result that does not advance would be requested again for ever.
        if self.next.is_none_or(|next| item.key < next) {
            return Err(malformed());
        }
        self.at += taken;
        self.left -= 1;
        self.next = item.key.successor();
        Ok(item)
    }

    /// Takes the next wanted item: the kernel returns all items between two keys, and has no filter by type.
    fn one(&mut self) -> io::Result<Option<Item>> {
        while self.left > 0 || self.fill()? {
            let item = self.take()?;
            if self.wanted.kinds.contains(&item.key.kind) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}

impl Iterator for Search<'_> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.one().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.next = None;
            self.left = 0;
        }
        found
    }
}

fn malformed() -> io::Error {
    io::Error::other("the kernel's answer to a tree search is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_are_in_the_order_of_keys() {
        let key = Key::new;
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
