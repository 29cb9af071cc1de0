//! The points of a harness: which are tried, how one is named, what is found.
//!
//! A point is named `killed:activate:37`, the 37th system call of the program's first task, or
//! `killed:upgrade:2.37`, that of its third; what is done to it beyond follows after another colon:
//! `failing:create:120:ENOSPC`. `NETBE_FAULT=` with such a name, or with the beginning of one up to a colon, runs
//! only those.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::judge::Faults;
use crate::tracer::{Break, Call};

/// How many points are tried side by side: each is a few short processes one after another.
pub(crate) const WORKERS: usize = 2;

/// One place at which something is broken.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    harness: &'static str,
    verb: &'static str,
    task: usize,
    /// The call, counted in its task from 1.
    pub(crate) number: usize,
    how: Break,
    /// What the call was when it was recorded.
    pub(crate) what: String,
    /// Whether the call before it, of the same task, can have changed something.
    pub(crate) is_fresh: bool,
}

impl Point {
    /// Makes the point at a recorded call.
    pub(crate) fn new(harness: &'static str, verb: &'static str, call: &Call, how: Break) -> Self {
        Self {
            harness,
            verb,
            task: call.task,
            number: call.number,
            how,
            what: call.what.clone(),
            is_fresh: call.is_fresh,
        }
    }

    /// Returns it as the tracer wants it.
    pub(crate) fn at(&self) -> (usize, usize, Break) {
        (self.task, self.number, self.how)
    }

    /// Returns the name it is run again by.
    fn name(&self) -> String {
        let task = if self.task > 0 {
            format!("{}.", self.task)
        } else {
            String::new()
        };
        let how = match self.how {
            Break::Kill => String::new(),
            Break::KillTask => ":task".to_string(),
            Break::Fail(errno) => format!(":{errno:?}"),
        };
        format!("{}:{}:{task}{}{how}", self.harness, self.verb, self.number)
    }
}

/// Returns whether every point is to be tried.
pub(crate) fn is_full() -> bool {
    std::env::var("NETBE_FAULTS").is_ok_and(|form| form == "full")
}

/// Returns which point alone is to be tried.
fn only() -> Option<String> {
    std::env::var("NETBE_FAULT")
        .ok()
        .filter(|name| !name.is_empty())
}

/// Returns whether a harness has anything to do with a command.
pub(crate) fn is_wanted(harness: &str, verb: &str) -> bool {
    only().is_none_or(|only| {
        let mut parts = only.split(':');
        parts.next().is_none_or(|first| first == harness)
            && parts.next().is_none_or(|second| second == verb)
    })
}

/// Returns those of all points that are to be tried: in the short form a spread of `short`.
pub(crate) fn chosen(all: Vec<Point>, short: usize) -> Vec<Point> {
    if let Some(only) = only() {
        let below = format!("{only}:");
        return all
            .into_iter()
            .filter(|p| p.name() == only || p.name().starts_with(&below))
            .collect();
    }
    if is_full() {
        return all;
    }
    let changing: Vec<_> = all.into_iter().filter(|point| point.is_fresh).collect();
    let number = changing.len();
    let is_taken = |i: usize| (i * short) / number != ((i + 1) * short) / number;
    changing
        .into_iter()
        .enumerate()
        .filter(|(i, _)| is_taken(*i))
        .map(|(_, point)| point)
        .collect()
}

/// What was tried, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    points: AtomicUsize,
    faults: AtomicUsize,
    missed: AtomicUsize,
}

impl Tally {
    /// Takes note of a point, and tells of what is wrong there.
    pub(crate) fn tried(&self, point: &Point, faults: Faults) {
        self.points.fetch_add(1, Ordering::Relaxed);
        if !faults.is_empty() {
            self.faults.fetch_add(1, Ordering::Relaxed);
            eprintln!(
                "NETBE_FAULT={} ({})\n  {}",
                point.name(),
                point.what,
                faults.join("\n  ")
            );
        }
    }

    /// Takes note of a point that was not reached, because that run made fewer calls.
    pub(crate) fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells how far the full form is.
    pub(crate) fn of(&self, verb: &str, number: usize, start: Instant) {
        if is_full() {
            eprintln!("{verb}: {number} points in {:.0?}", start.elapsed());
        }
    }

    /// Says how many points were tried and what was found, and fails the test where that is anything.
    pub(crate) fn close(&self, harness: &str, start: Instant) {
        if only().is_some_and(|only| only.split(':').next() != Some(harness)) {
            return;
        }
        let [points, faults, missed] =
            [&self.points, &self.faults, &self.missed].map(|n| n.load(Ordering::Relaxed));
        let missed = if missed > 0 {
            format!(" ({missed} never reached)")
        } else {
            String::new()
        };
        println!(
            "{harness}: {points} points{missed}, {faults} faults, {:.0?}",
            start.elapsed()
        );
        assert!(points > 0, "{harness}: there is no such point");
        assert_eq!(
            faults, 0,
            "{harness}: {faults} of {points} points show a fault"
        );
    }
}
