//! Which leaves are the same, where it is not known who wrote them.
//!
//! A balance moves leaves: they look newly written, in all the trees that share them, which they still do. It is known
//! by a tree with many leaves newer than the last change in it; a few a file leaves that was removed while open. Where an inode was changed in that transaction, by chance,
//! the leaf is taken for that tree's own; and two of the same place that are moved in one transaction are taken for
//! one: so after a balance, and only then, a small file can be counted to one too many or too few.
//!
//! A tree whose parent is gone has leaves of that parent, or of whatever that was made of, which may be there still
//! and have them, too. They are of the same transaction then. But two can have written the same place in the same
//! transaction, each its own leaf: where upgrades ran side by side, all do. What tells them apart are the inodes: what
//! was changed in two trees has different times in each, and since the first transaction in which any inode of the two
//! differs they have nothing in common.

use std::collections::{HashMap, HashSet};

use super::{Content, Piece};
use crate::btrfs::space::is_gone;

/// Where a small file is, and when its leaf was written: inode, transaction, length.
type Place = (u64, u64, u64);

/// What stands for the writer of a leaf that was only moved; no number of a subvolume, nor of one that is gone.
const NOBODY: u64 = 0;

/// How many inodes are moved by nothing but a balance: some leaves full of them.
const MANY: u32 = 200;

/// Leaves that were moved.
pub(super) struct Moved<'a> {
    wrote: HashSet<&'a (u64, u64)>,
    moved: HashSet<&'a u64>,
}

impl<'a> Moved<'a> {
    pub(super) fn new(contents: &'a [Content]) -> Self {
        let wrote = contents.iter().flat_map(|content| &content.notes.wrote);
        let moved = contents.iter().flat_map(|content| &content.notes.moved);
        let moved = moved.filter(|(_, inodes)| **inodes >= MANY);
        Self {
            wrote: wrote.collect(),
            moved: moved.map(|(transaction, _)| transaction).collect(),
        }
    }

    /// Returns a piece, with nobody for its writer where its leaf was moved.
    pub(super) fn rightly(&self, piece: Piece) -> Piece {
        match piece {
            Piece::Inline {
                inode,
                transaction,
                writer,
                length,
            } if self.moved.contains(&transaction)
                && !self.wrote.contains(&(writer, transaction)) =>
            {
                Piece::Inline {
                    inode,
                    transaction,
                    writer: NOBODY,
                    length,
                }
            }
            piece => piece,
        }
    }
}

/// Small files in leaves of somebody who is gone, with those at the same places.
pub(super) struct Leaves {
    /// Writers, and the numbers of the pieces.
    places: HashMap<Place, Vec<(u64, u32)>>,
    /// Since when two writers are known to be two, by the lower one and the higher.
    parted: HashMap<(u64, u64), u64>,
}

impl Leaves {
    pub(super) fn new(known: &HashMap<Piece, u32>, contents: &[Content]) -> Self {
        let mut places: HashMap<Place, Vec<(u64, u32)>> = HashMap::new();
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
        for (place, ..) in leaves().filter(|(_, writer, _)| is_gone(*writer)) {
            places.entry(place).or_default();
        }
        if !places.is_empty() {
            for (place, writer, number) in leaves() {
                if let Some(there) = places.get_mut(&place) {
                    there.push((writer, number));
                }
            }
        }
        places.retain(|_, there| there.len() > 1);
        let parted = match places.is_empty() {
            true => HashMap::new(),
            false => parted(contents),
        };
        Self { places, parted }
    }

    /// Returns the pieces that are another one, and which.
    pub(super) fn same(self) -> Vec<(u32, u32)> {
        let mut same = Vec::new();
        for ((_, transaction, _), mut there) in self.places {
            // Those that are there come first: the lowest number is the oldest of them.
            there.sort_unstable();
            let mut apart: Vec<(u64, u32)> = Vec::new();
            for (writer, number) in there {
                let is_same = |(other, _): &&(u64, u32)| {
                    let parted = self.parted.get(&(*other, writer));
                    parted.is_none_or(|since| transaction < *since)
                };
                match apart.iter().find(is_same) {
                    Some((_, other)) if is_gone(writer) => same.push((number, *other)),
                    _ => apart.push((writer, number)),
                }
            }
        }
        same
    }
}

/// Returns for each two writers, one of them gone, the first transaction in which an inode of theirs differs.
fn parted(contents: &[Content]) -> HashMap<(u64, u64), u64> {
    let mut marks: Vec<_> = contents
        .iter()
        .flat_map(|content| &content.notes.marks)
        .map(|m| (m.inode, m.transaction, m.writer, m.said))
        .collect();
    marks.sort_unstable();
    marks.dedup();
    let mut parted = HashMap::new();
    for there in marks.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        // A writer who is gone has the higher number, and so comes later.
        for (i, (_, transaction, writer, said)) in there.iter().enumerate() {
            if !is_gone(*writer) {
                continue;
            }
            for (_, _, other, otherwise) in &there[..i] {
                if other != writer && otherwise != said {
                    let first = parted.entry((*other, *writer)).or_insert(*transaction);
                    *first = (*transaction).min(*first);
                }
            }
        }
    }
    parted
}
