//! Where one file lies.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::super::tree_search::items::DiskExtent;

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
    pub(in crate::btrfs) fn push(&mut self, at: u64, extent: DiskExtent, size: u64) {
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
            // In order, and none over another: only the last that begins before it can. A node's file has a million.
            let before = other.pieces.partition_point(|o| o.at <= piece.at);
            let candidate = before.checked_sub(1).map(|at| &other.pieces[at]);
            if !candidate.is_some_and(|o| o.covers(piece)) {
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
        let others: HashSet<u64> = other.extents.iter().map(|(o, _)| o.start).collect();
        self.extents
            .iter()
            .filter(|(e, _)| !others.contains(&e.start))
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
    pub(super) fn mark(&self, size: u64) -> u64 {
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
        assert_eq!(whole.pieces, parts.pieces);
        assert_eq!(whole.mark(20_000), parts.mark(20_000));
        assert_eq!(whole.disk(), 1 << 20);
        let other = layout(&[(0, extent(8, 0, 20_480))], 20_000);
        assert_ne!(whole.mark(20_000), other.mark(20_000));
    }

    #[test]
    fn files_in_very_many_pieces_are_compared_at_once() {
        let pieces = 300_000_u64;
        let of = |first: u64| {
            let parts: Vec<_> = (0..pieces)
                .map(|n| (n * 4096, extent((first + n * 2) << 20, 0, 4096)))
                .collect();
            layout(&parts, pieces * 4096)
        };
        let (one, other) = (of(0), of(1));
        // Each compared with all others, these would be ninety thousand millions.
        assert_eq!(one.apart_from(&other).len() as u64, pieces);
        assert!(one.apart_from(&one).is_empty());
        assert_eq!(one.own(&other), pieces << 20);
        assert_eq!(one.own(&one), 0);
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
