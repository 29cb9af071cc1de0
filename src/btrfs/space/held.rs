//! Combines the contents of all subvolumes: which subvolumes hold which pieces.
//!
//! Visits the subvolumes once, each after its relative, and counts the references of the current one: between
//! two of them only the difference is applied. A subvolume holds a piece if its count is not zero. Holders are
//! stored as spans of the visiting order.

mod leaves;

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::{Change, Content, Piece};
use leaves::{Leaves, Moved};

/// The space of one owner, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Held by no other owner.
    pub unique: u64,
    /// Held at all, each piece once.
    pub referenced: u64,
}

/// The holders of all pieces.
#[derive(Debug, Default)]
pub struct Held {
    /// Indexes of the subvolumes, in visiting order.
    order: Vec<usize>,
    pieces: Vec<Counted>,
    spans: Vec<Span>,
}

/// A piece and its holders.
#[derive(Debug)]
struct Counted {
    length: u64,
    /// References from the current subvolume.
    count: i64,
    /// Position in the order since which the count is not zero.
    since: u32,
    /// Its last span.
    last: Option<u32>,
}

/// Consecutive subvolumes of the order that hold a piece.
#[derive(Debug)]
struct Span {
    from: u32,
    to: u32,
    /// The previous span of the same piece.
    next: Option<u32>,
}

impl Held {
    /// Combines contents, one for each subvolume.
    ///
    /// # Errors
    /// If they are inconsistent, because subvolumes changed meanwhile.
    pub fn new(contents: &[Content]) -> io::Result<Self> {
        let mut held = Self {
            order: order(contents),
            ..Self::default()
        };
        let moved = Moved::new(contents);
        let mut known: HashMap<Piece, u32> = HashMap::new();
        let mut ancestors: Vec<(usize, Vec<(u32, i32)>)> = Vec::new();
        for at in 0..held.order.len() {
            let index = held.order[at];
            let content = &contents[index];
            while ancestors
                .last()
                .is_some_and(|(i, _)| Some(*i) != content.from)
            {
                held.undo(ancestors.pop(), at)?;
            }
            let mut done = Vec::with_capacity(content.changes.len());
            for change in &content.changes {
                let piece = *known
                    .entry(moved.normalize(change.piece))
                    .or_insert_with(|| add(&mut held.pieces, change));
                held.count(piece, change.by, at)?;
                done.push((piece, change.by));
            }
            ancestors.push((index, done));
        }
        while let Some(last) = ancestors.pop() {
            held.undo(Some(last), held.order.len())?;
        }
        held.join(&known, contents);
        Ok(held)
    }

    fn undo(&mut self, left: Option<(usize, Vec<(u32, i32)>)>, at: usize) -> io::Result<()> {
        for (piece, by) in left.into_iter().flat_map(|(_, done)| done).rev() {
            self.count(piece, -by, at)?;
        }
        Ok(())
    }

    fn count(&mut self, piece: u32, by: i32, at: usize) -> io::Result<()> {
        let counted = &mut self.pieces[piece as usize];
        let (before, after) = (counted.count, counted.count + i64::from(by));
        if after < 0 {
            return Err(io::Error::other(
                "subvolumes were changed while they were read",
            ));
        }
        counted.count = after;
        let at = number(at);
        if before == 0 && after > 0 {
            counted.since = at;
        } else if before > 0 && after == 0 && counted.since < at {
            let next = counted.last.replace(number(self.spans.len()));
            self.spans.push(Span {
                from: counted.since,
                to: at,
                next,
            });
        }
        Ok(())
    }

    /// Merges pieces of the same leaf whose writer, in one of its trees, is a deleted subvolume.
    fn join(&mut self, known: &HashMap<Piece, u32>, contents: &[Content]) {
        for (one, other) in Leaves::new(known, contents).same() {
            self.merge(one, other);
        }
    }

    fn merge(&mut self, from: u32, to: u32) {
        let Some(first) = self.pieces[from as usize].last.take() else {
            return;
        };
        let mut end = first;
        while let Some(next) = self.spans[end as usize].next {
            end = next;
        }
        self.spans[end as usize].next = self.pieces[to as usize].last.replace(first);
    }

    /// Returns the space of each owner; `owner` has the owner, below `owners`, of each subvolume by index.
    pub fn sums(&self, owner: &[usize], owners: usize) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); owners];
        let mut seen = vec![usize::MAX; owners];
        for (mark, (length, spans)) in self.by_holders().into_iter().enumerate() {
            let (mut holders, mut one) = (0_u32, 0);
            for at in spans.iter().flat_map(|(from, to)| *from..*to) {
                let holder = owner[self.order[at as usize]];
                if seen[holder] != mark {
                    seen[holder] = mark;
                    sums[holder].referenced += length;
                    holders += 1;
                    one = holder;
                }
            }
            if holders == 1 {
                sums[one].unique += length;
            }
        }
        sums
    }

    /// Returns the bytes that deleting exactly the subvolumes `inside`, by index, would free.
    pub fn within(&self, inside: impl Fn(usize) -> bool) -> u64 {
        let held_inside = |spans: &[(u32, u32)]| {
            let mut places = spans.iter().flat_map(|(from, to)| *from..*to);
            places.all(|at| inside(self.order[at as usize]))
        };
        let by_holders = self.by_holders().into_iter();
        by_holders
            .filter(|(_, spans)| held_inside(spans))
            .map(|(length, _)| length)
            .sum()
    }

    /// Returns sizes and spans of pieces; pieces of the same single span are added up.
    fn by_holders(&self) -> Vec<(u64, Vec<(u32, u32)>)> {
        let mut simple: HashMap<(u32, u32), u64> = HashMap::new();
        let mut by_holders = Vec::new();
        for piece in &self.pieces {
            let mut spans = Vec::new();
            let mut next = piece.last;
            while let Some(at) = next {
                let span = &self.spans[at as usize];
                spans.push((span.from, span.to));
                next = span.next;
            }
            match spans.as_slice() {
                [] => {}
                [one] => *simple.entry(*one).or_default() += piece.length,
                _ => by_holders.push((piece.length, spans)),
            }
        }
        by_holders.extend(
            simple
                .into_iter()
                .map(|(span, length)| (length, vec![span])),
        );
        by_holders
    }
}

/// Appends a piece and returns its number.
fn add(pieces: &mut Vec<Counted>, change: &Change) -> u32 {
    pieces.push(Counted {
        length: change.length,
        count: 0,
        since: 0,
        last: None,
    });
    number(pieces.len() - 1)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("more than 2^32 pieces do not fit into memory")
}

/// Returns the visiting order: each subvolume after its relative, with all descendants of one in a row.
fn order(contents: &[Content]) -> Vec<usize> {
    let mut descendants: Vec<Vec<usize>> = vec![Vec::new(); contents.len()];
    let mut pending = Vec::new();
    for (index, content) in contents.iter().enumerate().rev() {
        match content.from {
            Some(from) => descendants[from].push(index),
            None => pending.push(index),
        }
    }
    let mut order = Vec::with_capacity(contents.len());
    while let Some(index) = pending.pop() {
        order.push(index);
        pending.append(&mut descendants[index]);
    }
    order
}

#[cfg(test)]
mod tests;
