//! Identifies equal leaves whose writer is not known.
//!
//! A balance moves leaves: they look newly written in all trees that share them, and are still shared. It is
//! recognised by many leaves of a tree that are newer than the tree's last change; orphan items, left by files
//! removed while open, cause only a few. If an inode was changed in the same transaction by chance, the leaf
//! counts as the tree's own. Two leaves of the same position, moved in one transaction, count as one. So after
//! a balance, and only then, the size of an inline file can be counted once too often or too rarely.
//!
//! A tree whose parent is deleted has leaves of that parent, or of its ancestors, which may still exist and have the
//! same leaves, with the same transaction. But two trees may have written leaves of the same position in the same
//! transaction, as concurrent upgrades do. Inodes tell them apart: one changed in both trees has different times. From
//! the first transaction with such an inode on, the two trees share nothing.

use std::collections::{HashMap, HashSet};

use super::{Content, Piece};
use crate::btrfs::space::is_deleted;

/// Position and age of an inline file: inode, transaction, length.
type Position = (u64, u64, u64);

/// The writer of a moved leaf: different from all subvolume IDs and from [`super::super::is_deleted`] ones.
const UNKNOWN_WRITER: u64 = 0;

/// Moved inodes from which on a balance is assumed: some full leaves.
const BALANCED_MIN: u32 = 200;

/// Leaves moved by a balance.
pub(super) struct Moved<'a> {
    wrote: HashSet<&'a (u64, u64)>,
    moved: HashSet<&'a u64>,
}

impl<'a> Moved<'a> {
    pub(super) fn new(contents: &'a [Content]) -> Self {
        let wrote = contents.iter().flat_map(|content| &content.notes.wrote);
        let moved = contents.iter().flat_map(|content| &content.notes.moved);
        let moved = moved.filter(|(_, inodes)| **inodes >= BALANCED_MIN);
        Self {
            wrote: wrote.collect(),
            moved: moved.map(|(transaction, _)| transaction).collect(),
        }
    }

    /// Returns a piece, with an unknown writer if its leaf was moved.
    pub(super) fn normalize(&self, mut piece: Piece) -> Piece {
        if let Piece::Inline {
            transaction,
            writer,
            ..
        } = &mut piece
            && self.moved.contains(transaction)
            && !self.wrote.contains(&(*writer, *transaction))
        {
            *writer = UNKNOWN_WRITER;
        }
        piece
    }
}

/// Inline files in leaves of deleted subvolumes, with those at the same positions.
pub(super) struct Leaves {
    /// Writers, and piece numbers.
    positions: HashMap<Position, Vec<(u64, u32)>>,
    /// The transaction since which two writers share nothing, by the lower and the higher ID.
    parted: HashMap<(u64, u64), u64>,
}

impl Leaves {
    pub(super) fn new(known: &HashMap<Piece, u32>, contents: &[Content]) -> Self {
        let mut positions: HashMap<Position, Vec<(u64, u32)>> = HashMap::new();
        let leaves = || {
            known.iter().filter_map(|(piece, number)| match *piece {
                Piece::Inline {
                    inode,
                    transaction,
                    writer,
                    length,
                } => Some(((inode, transaction, length), writer, *number)),
                Piece::Extent { .. } => None,
            })
        };
        for (position, ..) in leaves().filter(|(_, writer, _)| is_deleted(*writer)) {
            positions.entry(position).or_default();
        }
        if !positions.is_empty() {
            for (position, writer, number) in leaves() {
                if let Some(candidates) = positions.get_mut(&position) {
                    candidates.push((writer, number));
                }
            }
        }
        positions.retain(|_, candidates| candidates.len() > 1);
        let parted = match positions.is_empty() {
            true => HashMap::new(),
            false => parted(contents),
        };
        Self { positions, parted }
    }

    /// Returns pairs of pieces that are the same, the one to drop first.
    pub(super) fn same(self) -> Vec<(u32, u32)> {
        let mut same = Vec::new();
        for ((_, transaction, _), mut candidates) in self.positions {
            // Existing subvolumes first: the lowest ID is the oldest.
            candidates.sort_unstable();
            let mut distinct: Vec<(u64, u32)> = Vec::new();
            for (writer, number) in candidates {
                let is_same = |(other, _): &&(u64, u32)| {
                    let parted = self.parted.get(&(*other, writer));
                    parted.is_none_or(|since| transaction < *since)
                };
                match distinct.iter().find(is_same) {
                    Some((_, other)) if is_deleted(writer) => same.push((number, *other)),
                    _ => distinct.push((writer, number)),
                }
            }
        }
        same
    }
}

/// Returns, for each two writers with a deleted one, the first transaction in which an inode differs.
fn parted(contents: &[Content]) -> HashMap<(u64, u64), u64> {
    let mut marks: Vec<_> = contents
        .iter()
        .flat_map(|content| &content.notes.marks)
        .map(|m| (m.inode, m.transaction, m.writer, m.hash))
        .collect();
    marks.sort_unstable();
    marks.dedup();
    let mut parted = HashMap::new();
    for candidates in marks.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        // Deleted writers have higher IDs and are sorted last.
        for (i, (_, transaction, writer, hash)) in candidates.iter().enumerate() {
            if !is_deleted(*writer) {
                continue;
            }
            for (_, _, other, other_hash) in &candidates[..i] {
                if other != writer && other_hash != hash {
                    let first = parted.entry((*other, *writer)).or_insert(*transaction);
                    *first = (*transaction).min(*first);
                }
            }
        }
    }
    parted
}
