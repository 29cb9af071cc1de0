//! The difference between the references of two related trees, at the cost of that difference.
//!
//! Leaves from before they separated are equal. Every file with an item in a newer leaf of either tree is compared. A
//! removal need not leave a newer leaf in place of the old, because whole leaves can go; but it changes the directory
//! of the removed name, whose inode has the transaction. So the names of directories changed in either tree are
//! compared, and what only one has is compared with everything below it. Orphans are always compared. To compare equal
//! files costs time but does not change the result, so all doubtful ones are compared.

use std::collections::{HashMap, HashSet};
use std::io;

use super::{Change, Notes, Piece, Tree};
use crate::btrfs::tree_search::inodes::{self, Inode};
use crate::btrfs::tree_search::items::{
    DIR_INDEX, EXTENT_DATA, INODE_ITEM, ORPHAN_ITEM, malformed,
};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// Object ID of orphan items (`BTRFS_ORPHAN_OBJECTID`).
const ORPHANS: u64 = u64::MAX - 4;

/// Unsuspected inodes between two suspects that are compared too: as fast as a second search.
const GAP: u64 = 6;

/// Size of an item's header in a leaf, in bytes (`struct btrfs_item`).
const HEAD: u64 = 25;

/// Returns the references of `tree` minus those of `from`, from which it separated in transaction `common`.
///
/// Also returns the evidence in the newer leaves. `None` if more than `limit` bytes of leaves are newer.
pub(super) fn changes(
    tree: &Tree<'_>,
    from: &Tree<'_>,
    common: u64,
    limit: u64,
) -> io::Result<Option<(Vec<Change>, Notes)>> {
    let mut pair = Pair {
        sides: [Side::new(tree), Side::new(from)],
        common,
        suspects: Vec::new(),
        notes: Notes::default(),
    };
    let mut directories = HashSet::new();
    let mut left = limit;
    for side in 0..2 {
        if !pair.newer(side, &mut directories, &mut left)? {
            return Ok(None);
        }
        pair.orphans(side)?;
    }
    pair.names(directories)?;
    let notes = std::mem::take(&mut pair.notes);
    Ok(Some((pair.compare()?, notes)))
}

/// The target of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Child {
    inode: u64,
    is_directory: bool,
}

/// Two trees, and the inodes to compare.
struct Pair<'a> {
    sides: [Side<'a>; 2],
    common: u64,
    /// Inode numbers, unordered, with repetitions.
    suspects: Vec<u64>,
    notes: Notes,
}

struct Side<'a> {
    tree: Tree<'a>,
    search: Search<'a>,
}

impl<'a> Side<'a> {
    fn new(tree: &Tree<'a>) -> Self {
        Self {
            search: tree.search(),
            tree: *tree,
        }
    }

    fn inode(&mut self, number: u64) -> io::Result<Option<Inode>> {
        let key = Key::new(number, INODE_ITEM, 0);
        let mut found = None;
        let wanted = self.tree.wanted(key, key, &[INODE_ITEM]);
        self.search.each(wanted, |item| {
            found = Some(inodes::inode(item.bytes).ok_or_else(malformed)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Returns the targets of a directory's entries, sorted and unique; empty if it is not a directory.
    fn children(&mut self, directory: u64) -> io::Result<Vec<Child>> {
        let (from, to) = (
            Key::new(directory, DIR_INDEX, 0),
            Key::new(directory, DIR_INDEX, u64::MAX),
        );
        let mut found = Vec::new();
        let wanted = self.tree.wanted(from, to, &[DIR_INDEX]);
        self.search.each(wanted, |item| {
            for entry in inodes::entries(item.bytes).ok_or_else(malformed)? {
                found.extend(entry.inode.map(|inode| Child {
                    inode,
                    is_directory: entry.is_directory,
                }));
            }
            Ok(true)
        })?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Pair<'_> {
    /// Collects the inodes in newer leaves of one tree; false above the size limit.
    fn newer(
        &mut self,
        side: usize,
        directories: &mut HashSet<u64>,
        left: &mut u64,
    ) -> io::Result<bool> {
        let Self {
            sides,
            common,
            suspects,
            notes,
        } = self;
        let Side { tree, search } = &mut sides[side];
        let wanted = Wanted {
            // Nearly always, writes of that transaction itself were before the separation.
            after: common.saturating_sub(1),
            ..tree.wanted(
                Key::FIRST,
                Key::new(ORPHANS - 1, u8::MAX, u64::MAX),
                &[INODE_ITEM, EXTENT_DATA, DIR_INDEX],
            )
        };
        let mut within_limit = true;
        search.each(wanted, |item| {
            let rest = left.checked_sub(HEAD + item.bytes.len() as u64);
            within_limit = rest.is_some();
            *left = rest.unwrap_or_default();
            let number = item.key.objectid;
            if item.key.kind == EXTENT_DATA {
                if suspects.last() != Some(&number) {
                    suspects.push(number);
                }
            } else if item.key.kind == INODE_ITEM {
                let inode = tree.record(item, notes)?;
                if inode.transaction >= *common {
                    suspects.push(number);
                    if inode.is_directory() {
                        directories.insert(number);
                    }
                }
            }
            Ok(within_limit)
        })?;
        Ok(within_limit)
    }

    /// Collects the orphans of one tree, whose removal leaves no trace.
    fn orphans(&mut self, side: usize) -> io::Result<()> {
        let (from, to) = (
            Key::new(ORPHANS, ORPHAN_ITEM, 0),
            Key::new(ORPHANS, ORPHAN_ITEM, u64::MAX),
        );
        let Side { tree, search } = &mut self.sides[side];
        let wanted = tree.wanted(from, to, &[ORPHAN_ITEM]);
        search.each(wanted, |item| {
            self.suspects.push(item.key.offset);
            Ok(true)
        })
    }

    /// Collects the inodes with a name in a directory of one tree only, and all below them.
    fn names(&mut self, directories: HashSet<u64>) -> io::Result<()> {
        let mut pending: Vec<u64> = directories.iter().copied().collect();
        let mut known = directories;
        while let Some(directory) = pending.pop() {
            let [these, those] = &mut self.sides;
            let (these, those) = (these.children(directory)?, those.children(directory)?);
            for child in one_sided(&these, &those) {
                self.suspects.push(child.inode);
                if child.is_directory
                    && !known.contains(&child.inode)
                    && !self.same_directory(child.inode)?
                {
                    known.insert(child.inode);
                    pending.push(child.inode);
                }
            }
        }
        Ok(())
    }

    /// Returns whether an inode is the same directory in both trees, wherever it is.
    fn same_directory(&mut self, number: u64) -> io::Result<bool> {
        let [these, those] = &mut self.sides;
        Ok(match (these.inode(number)?, those.inode(number)?) {
            (Some(this), Some(that)) => {
                this.made == that.made && this.is_directory() && that.is_directory()
            }
            _ => false,
        })
    }

    /// Compares the references of all suspects.
    fn compare(mut self) -> io::Result<Vec<Change>> {
        self.suspects.sort_unstable();
        self.suspects.dedup();
        let mut changes: HashMap<Piece, (i32, u64)> = HashMap::new();
        let near = |a: &u64, b: &u64| b - a <= GAP;
        for run in self.suspects.chunk_by(near) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let (from, to) = (
                Key::new(first, EXTENT_DATA, 0),
                Key::new(last, EXTENT_DATA, u64::MAX),
            );
            for (Side { tree, search }, by) in self.sides.iter_mut().zip([1, -1]) {
                tree.pieces(search, from, to, |piece, length| {
                    let change = changes.entry(piece).or_insert((0, length));
                    change.0 += by;
                })?;
            }
        }
        let differing = changes.into_iter().filter(|(_, (by, _))| *by != 0);
        Ok(differing
            .map(|(piece, (by, length))| Change { piece, length, by })
            .collect())
    }
}

/// Returns the elements of two sorted lists that are in one only.
fn one_sided(these: &[Child], those: &[Child]) -> Vec<Child> {
    let lacks = |list: &[Child], child: &Child| list.binary_search(child).is_err();
    let more = these.iter().filter(|c| lacks(those, c));
    let less = those.iter().filter(|c| lacks(these, c));
    more.chain(less).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_list_only_are_found_on_both_sides() {
        let child = |inode| Child {
            inode,
            is_directory: false,
        };
        let (these, those) = ([1, 2, 4].map(child), [2, 3, 4, 5].map(child));
        let found: Vec<u64> = one_sided(&these, &those).iter().map(|c| c.inode).collect();
        assert_eq!(found, [1, 3, 5]);
    }
}
