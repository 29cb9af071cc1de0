//! The extents of one file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::super::tree_search::items::DiskExtent;

/// A contiguous part of a file on disk; in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Offset in the file.
    pub at: u64,
    /// Length; the last piece may end after the file.
    pub length: u64,
    /// Start address of its extent.
    pub extent: u64,
    /// Offset in the extent.
    pub offset: u64,
}

/// The extents of a file: contiguous pieces in order, merged where possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The pieces.
    pub pieces: Vec<Piece>,
    /// The extents, and how many times the file refers to each.
    pub extents: Vec<(DiskExtent, u32)>,
}

impl Layout {
    /// Adds an extent item of a file of `size` bytes.
    pub(in crate::btrfs) fn push(&mut self, at: u64, extent: DiskExtent, size: u64) {
        // Space after the end has no content: files that differ in it alone are equal.
        if at >= size {
            return;
        }
        let piece = Piece {
            at,
            length: extent.length,
            extent: extent.start,
            offset: extent.offset,
        };
        // References to one extent are close together; a full search would be quadratic in the number of extents.
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
            Some(last) if last.continues_in(&piece) => last.length += piece.length,
            _ => self.pieces.push(piece),
        }
    }

    /// Returns the size of the extents on disk, in bytes.
    pub fn disk(&self) -> u64 {
        self.extents.iter().map(|(e, _)| e.disk_length).sum()
    }

    /// Returns the ranges of the file that do not share space with the same ranges of another.
    pub fn unshared_ranges(&self, other: &Self) -> Vec<Range<u64>> {
        let mut unshared = Vec::new();
        for piece in &self.pieces {
            // The pieces are sorted and disjoint: only the last that starts before this one can cover it. A
            // file may have a million.
            let before = other.pieces.partition_point(|o| o.at <= piece.at);
            let candidate = before.checked_sub(1).map(|at| &other.pieces[at]);
            if !candidate.is_some_and(|o| o.covers(piece)) {
                unshared.push(piece.at..piece.at + piece.length);
            }
        }
        unshared
    }

    /// Returns the ranges, up to `size`, in which the two files do not share space.
    pub fn differing_ranges(&self, other: &Self, size: u64) -> Vec<Range<u64>> {
        let mut all = self.unshared_ranges(other);
        all.extend(other.unshared_ranges(self));
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

    /// Returns the size on disk, in bytes, of the extents that the other file does not refer to.
    pub fn exclusive_bytes(&self, other: &Self) -> u64 {
        let others: HashSet<u64> = other.extents.iter().map(|(o, _)| o.start).collect();
        self.extents
            .iter()
            .filter(|(e, _)| !others.contains(&e.start))
            .map(|(e, _)| e.disk_length)
            .sum()
    }

    /// Returns whether two files of this size have the same extents, and so the same content.
    pub fn has_same_extents(&self, other: &Self, size: u64) -> bool {
        let up_to_the_end = |piece: &Piece| Piece {
            length: piece.length.min(size - piece.at),
            ..*piece
        };
        let (one, other) = (self.pieces.iter(), other.pieces.iter());
        one.map(up_to_the_end).eq(other.map(up_to_the_end))
    }

    /// Returns a hash of the extents, equal for files of the same size with the same extents.
    pub(super) fn hash_value(&self, size: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        for piece in &self.pieces {
            let length = piece.length.min(size - piece.at);
            Piece { length, ..*piece }.hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Piece {
    fn continues_in(&self, next: &Self) -> bool {
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
    fn adjacent_items_are_one_piece() {
        let whole = layout(&[(0, extent(7, 0, 20_480))], 20_000);
        let parts = [
            (0, extent(7, 0, 8192)),
            (8192, extent(7, 8192, 12_288)),
            // After the end.
            (20_480, extent(9, 0, 4096)),
        ];
        let parts = layout(&parts, 20_000);
        assert_eq!(whole.pieces, parts.pieces);
        assert_eq!(whole.hash_value(20_000), parts.hash_value(20_000));
        assert_eq!(whole.disk(), 1 << 20);
        let other = layout(&[(0, extent(8, 0, 20_480))], 20_000);
        assert_ne!(whole.hash_value(20_000), other.hash_value(20_000));
    }

    #[test]
    fn files_of_very_many_pieces_are_compared_quickly() {
        let pieces = 300_000_u64;
        let of = |first: u64| {
            let parts: Vec<_> = (0..pieces)
                .map(|n| (n * 4096, extent((first + n * 2) << 20, 0, 4096)))
                .collect();
            layout(&parts, pieces * 4096)
        };
        let (one, other) = (of(0), of(1));
        // A quadratic comparison would need 9e10 steps.
        assert_eq!(one.unshared_ranges(&other).len() as u64, pieces);
        assert!(one.unshared_ranges(&one).is_empty());
        assert_eq!(one.exclusive_bytes(&other), pieces << 20);
        assert_eq!(one.exclusive_bytes(&one), 0);
    }

    // A list with one range is intended.
    #[allow(clippy::single_range_in_vec_init)]
    #[test]
    fn only_pieces_at_other_addresses_are_unshared() {
        let size = 20_480;
        let one = layout(&[(0, extent(7, 0, 20_480))], size);
        let two = [(0, extent(7, 0, 4096)), (4096, extent(8, 0, 16_384))];
        let two = layout(&two, size);
        assert_eq!(two.unshared_ranges(&one), [4096..20_480]);
        assert_eq!(one.unshared_ranges(&two), [0..20_480]);
        assert!(one.unshared_ranges(&one).is_empty());
        let moved = layout(&[(0, extent(7, 4096, 20_480))], size);
        assert_eq!(moved.unshared_ranges(&one), [0..20_480]);
    }
}
