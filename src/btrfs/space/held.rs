//! What is whose: the contents of all subvolumes put together.
//!
//! The subvolumes are gone through once, each behind the one it was compared with, with the references of the one at
//! hand counted: from one to the next only what differs is touched. A piece is held by the subvolumes at which its count
//! is not nought; they are kept as spans of that order.

mod leaves;

use std::collections::HashMap;
use std::io;

use super::{Change, Content, Piece};
use leaves::{Leaves, Moved};

/// What belongs to one owner, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// What nobody else holds.
    pub unique: u64,
    /// All that is held, shared or not, each piece once.
    pub referenced: u64,
}

/// Which subvolumes hold which pieces.
#[derive(Debug, Default)]
pub struct Held {
    /// The subvolumes, by place, in the order gone through.
    order: Vec<usize>,
    pieces: Vec<Counted>,
    spans: Vec<Span>,
}

/// A piece, and what holds it.
#[derive(Debug)]
struct Counted {
    length: u64,
    /// References from the subvolume at hand.
    count: i64,
    /// Since where in the order that is not nought.
    since: u32,
    /// The latest of its spans.
    last: Option<u32>,
}

/// Neighbours in the order that hold a piece.
#[derive(Debug)]
struct Span {
    from: u32,
    to: u32,
    /// Another one of the same piece.
    next: Option<u32>,
}

impl Held {
    /// Puts contents together, one for each subvolume.
    ///
    /// # Errors
    /// Where they cannot be of one moment.
    pub fn new(contents: &[Content]) -> io::Result<Self> {
        let mut held = Self {
            order: order(contents),
            ..Self::default()
        };
        let moved = Moved::new(contents);
        let mut known: HashMap<Piece, u32> = HashMap::new();
        let mut above: Vec<(usize, Vec<(u32, i32)>)> = Vec::new();
        for at in 0..held.order.len() {
            let index = held.order[at];
            let content = &contents[index];
            while above.last().is_some_and(|(i, _)| Some(*i) != content.from) {
                held.leave(above.pop(), at)?;
            }
            let mut done = Vec::with_capacity(content.changes.len());
            for change in &content.changes {
                let piece = *known
                    .entry(moved.rightly(change.piece))
                    .or_insert_with(|| held.pieces.add(change));
                held.count(piece, change.by, at)?;
                done.push((piece, change.by));
            }
            above.push((index, done));
        }
        while let Some(last) = above.pop() {
            held.leave(Some(last), held.order.len())?;
        }
        held.join(&known, contents);
        Ok(held)
    }

    fn leave(&mut self, left: Option<(usize, Vec<(u32, i32)>)>, at: usize) -> io::Result<()> {
        for (piece, by) in left.into_iter().flat_map(|(_, done)| done).rev() {
            self.count(piece, -by, at)?;
        }
        Ok(())
    }

    fn count(&mut self, piece: u32, by: i32, at: usize) -> io::Result<()> {
        let counted = &mut self.pieces[piece as usize];
        let (before, after) = (counted.count, counted.count + i64::from(by));
        if after < 0 {
            return Err(io::Error::other("the subvolumes changed meanwhile"));
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

    /// Puts pieces together that are one leaf, written by somebody who is gone in one of the trees it is in.
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

    /// Returns what belongs to each owner; `owner` says whose a subvolume is, by place and below `owners`.
    pub fn sums(&self, owner: &[usize], owners: usize) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); owners];
        let mut seen = vec![usize::MAX; owners];
        for (mark, (length, spans)) in self.kinds().into_iter().enumerate() {
            let (mut holders, mut one) = (0_u32, 0);
            for at in spans.iter().flat_map(|(from, to)| *from..*to) {
                let who = owner[self.order[at as usize]];
                if seen[who] != mark {
                    seen[who] = mark;
                    sums[who].referenced += length;
                    holders += 1;
                    one = who;
                }
            }
            if holders == 1 {
                sums[one].unique += length;
            }
        }
        sums
    }

    /// Returns what comes back when all subvolumes go that are `inside`, by place, and no others; bytes.
    pub fn within(&self, inside: impl Fn(usize) -> bool) -> u64 {
        let held_inside = |spans: &[(u32, u32)]| {
            let mut places = spans.iter().flat_map(|(from, to)| *from..*to);
            places.all(|at| inside(self.order[at as usize]))
        };
        let kinds = self.kinds().into_iter();
        kinds
            .filter(|(_, spans)| held_inside(spans))
            .map(|(length, _)| length)
            .sum()
    }

    /// Returns what is held by the same subvolumes, in bytes; by one neighbourhood, or piece by piece.
    fn kinds(&self) -> Vec<(u64, Vec<(u32, u32)>)> {
        let mut simple: HashMap<(u32, u32), u64> = HashMap::new();
        let mut kinds = Vec::new();
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
                _ => kinds.push((piece.length, spans)),
            }
        }
        kinds.extend(
            simple
                .into_iter()
                .map(|(span, length)| (length, vec![span])),
        );
        kinds
    }
}

/// Adding to a list of pieces.
trait Add {
    fn add(&mut self, change: &Change) -> u32;
}

impl Add for Vec<Counted> {
    fn add(&mut self, change: &Change) -> u32 {
        self.push(Counted {
            length: change.length,
            count: 0,
            since: 0,
            last: None,
        });
        number(self.len() - 1)
    }
}

fn number(of: usize) -> u32 {
    u32::try_from(of).expect("four thousand million pieces would not fit into memory")
}

/// Returns the places of contents, each behind what it is the difference from, with all between made of that, too.
fn order(contents: &[Content]) -> Vec<usize> {
    let mut made_of: Vec<Vec<usize>> = vec![Vec::new(); contents.len()];
    let mut waiting = Vec::new();
    for (index, content) in contents.iter().enumerate().rev() {
        match content.from {
            Some(from) => made_of[from].push(index),
            None => waiting.push(index),
        }
    }
    let mut order = Vec::with_capacity(contents.len());
    while let Some(index) = waiting.pop() {
        order.push(index);
        waiting.append(&mut made_of[index]);
    }
    order
}

#[cfg(test)]
mod tests;
