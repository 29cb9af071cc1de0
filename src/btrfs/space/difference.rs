//! How what one tree refers to differs from what a relative's does, at the cost of what differs.
//!
//! Leaves that both have since before they parted are the same. Every file with a part in a leaf that is newer, in
//! either tree, is compared. What was taken away need not leave a newer leaf where it stood: whole leaves go, and their
//! neighbours stay as they are. But a name that goes is a change of its directory, whose inode says when it was last
//! changed; so the directories changed in either are compared by their names, and what one of them lacks, with all
//! below it, is compared as well. Files without a name are looked at always. Comparing what is the same costs time and
//! changes nothing, so whatever is in doubt is compared.

use std::collections::{HashMap, HashSet};
use std::io;

use super::{Change, Notes, Piece, Tree, garbled};
use crate::btrfs::tree_search::inodes::{self, Child, Inode};
use crate::btrfs::tree_search::items::{DIR_INDEX, EXTENT_DATA, INODE_ITEM, ORPHAN_ITEM};
use crate::btrfs::tree_search::{Key, Search, Wanted};

/// Where files without a name are noted (`BTRFS_ORPHAN_OBJECTID`).
const ORPHANS: u64 = u64::MAX - 4;

/// Up to how many inodes between two that are compared are compared with them: as quick as asking twice.
const GAP: u64 = 6;

/// What precedes each item in a leaf, in bytes (`struct btrfs_item`).
const HEAD: u64 = 25;

/// Returns what `tree` refers to more often, or less, than `from`, from which it parted in transaction `common`.
///
/// With it, what is to be remembered of the newer leaves. `None` where more bytes of leaves than `most` are newer.
pub(super) fn changes(
    tree: &Tree<'_>,
    from: &Tree<'_>,
    common: u64,
    most: u64,
) -> io::Result<Option<(Vec<Change>, Notes)>> {
    let mut pair = Pair {
        sides: [Side::new(tree), Side::new(from)],
        common,
        suspects: Vec::new(),
        notes: Notes::default(),
    };
    let mut directories = HashSet::new();
    let mut left = most;
    for side in 0..2 {
        if !pair.newer(side, &mut directories, &mut left)? {
            return Ok(None);
        }
        pair.nameless(side)?;
    }
    pair.names(directories)?;
    let notes = std::mem::take(&mut pair.notes);
    Ok(Some((pair.compare()?, notes)))
}

/// Two trees, and what has to be compared in them.
struct Pair<'a> {
    sides: [Side<'a>; 2],
    common: u64,
    /// Inodes, in no order, some several times.
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
        let key = key(number, INODE_ITEM, 0);
        let mut found = None;
        let wanted = self.tree.wanted(key, key, &[INODE_ITEM]);
        self.search.each(wanted, |item| {
            found = Some(inodes::inode(item.bytes).ok_or_else(garbled)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Returns what the names in a directory lead to, sorted, each once; nothing for what is no directory.
    fn children(&mut self, directory: u64) -> io::Result<Vec<Child>> {
        let (from, to) = (
            key(directory, DIR_INDEX, 0),
            key(directory, DIR_INDEX, u64::MAX),
        );
        let mut found = Vec::new();
        let wanted = self.tree.wanted(from, to, &[DIR_INDEX]);
        self.search.each(wanted, |item| {
            found.extend(inodes::child(item.bytes).ok_or_else(garbled)?);
            Ok(true)
        })?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Pair<'_> {
    /// Notes what stands in the newer leaves of one side; false where those are more than so many bytes.
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
            // What was written in that transaction was so before they parted, nearly always.
            after: common.saturating_sub(1),
            ..tree.wanted(
                Key::FIRST,
                key(ORPHANS - 1, u8::MAX, u64::MAX),
                &[INODE_ITEM, EXTENT_DATA, DIR_INDEX],
            )
        };
        let mut enough = true;
        search.each(wanted, |item| {
            let rest = left.checked_sub(HEAD + item.bytes.len() as u64);
            enough = rest.is_some();
            *left = rest.unwrap_or_default();
            let number = item.key.objectid;
            if item.key.kind == EXTENT_DATA {
                if suspects.last() != Some(&number) {
                    suspects.push(number);
                }
            } else if item.key.kind == INODE_ITEM {
                let inode = tree.note(item, notes)?;
                if inode.transaction >= *common {
                    suspects.push(number);
                    if inode.is_directory() {
                        directories.insert(number);
                    }
                }
            }
            Ok(enough)
        })?;
        Ok(enough)
    }

    /// Notes the files of one side that have no name: they go without a trace.
    fn nameless(&mut self, side: usize) -> io::Result<()> {
        let (from, to) = (
            key(ORPHANS, ORPHAN_ITEM, 0),
            key(ORPHANS, ORPHAN_ITEM, u64::MAX),
        );
        let Side { tree, search } = &mut self.sides[side];
        let wanted = tree.wanted(from, to, &[ORPHAN_ITEM]);
        search.each(wanted, |item| {
            self.suspects.push(item.key.offset);
            Ok(true)
        })
    }

    /// Notes what has a name in a directory of one side only, and all below it.
    fn names(&mut self, directories: HashSet<u64>) -> io::Result<()> {
        let mut waiting: Vec<u64> = directories.iter().copied().collect();
        let mut known = directories;
        while let Some(directory) = waiting.pop() {
            let [these, those] = &mut self.sides;
            let (these, those) = (these.children(directory)?, those.children(directory)?);
            for child in one_sided(&these, &those) {
                self.suspects.push(child.inode);
                if child.is_directory
                    && !known.contains(&child.inode)
                    && !self.same_directory(child.inode)?
                {
                    known.insert(child.inode);
                    waiting.push(child.inode);
                }
            }
        }
        Ok(())
    }

    /// Returns whether an inode is the same directory in both, wherever it stands.
    fn same_directory(&mut self, number: u64) -> io::Result<bool> {
        let [these, those] = &mut self.sides;
        Ok(match (these.inode(number)?, those.inode(number)?) {
            (Some(this), Some(that)) => {
                this.made == that.made && this.is_directory() && that.is_directory()
            }
            _ => false,
        })
    }

    /// Compares all that is suspect.
    fn compare(mut self) -> io::Result<Vec<Change>> {
        self.suspects.sort_unstable();
        self.suspects.dedup();
        let mut changes: HashMap<Piece, (i32, u64)> = HashMap::new();
        let near = |a: &u64, b: &u64| b - a <= GAP;
        for run in self.suspects.chunk_by(near) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let (from, to) = (key(first, EXTENT_DATA, 0), key(last, EXTENT_DATA, u64::MAX));
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

/// Returns what is in one of two sorted lists only.
fn one_sided(these: &[Child], those: &[Child]) -> Vec<Child> {
    let lacks = |list: &[Child], child: &Child| list.binary_search(child).is_err();
    let more = these.iter().filter(|c| lacks(those, c));
    let less = those.iter().filter(|c| lacks(these, c));
    more.chain(less).copied().collect()
}

fn key(objectid: u64, kind: u8, offset: u64) -> Key {
    Key {
        objectid,
        kind,
        offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_has_is_found_on_both_sides() {
        let child = |inode| Child {
            inode,
            is_directory: false,
        };
        let (these, those) = ([1, 2, 4].map(child), [2, 3, 4, 5].map(child));
        let found: Vec<u64> = one_sided(&these, &those).iter().map(|c| c.inode).collect();
        assert_eq!(found, [1, 3, 5]);
    }
}
