//! The points of a harness: which are tried, how one is named, what is found.
//!
//! A point is named `killed:activate:37`, the 37th system call of the program's first task, or
//! `killed:upgrade:2.37`, that of its third; what is done to it beyond follows after another colon:
//! `failing:create:120:ENOSPC`. `NETBE_FAULT=` with such a name, or with the beginning of one up to a colon, runs
//! only those.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::asked::{self, asked, is_full};
use crate::ground::Ground;
use crate::judge::{Faults, Judge};
use crate::local;
use crate::report::figures;
use crate::support::Outcome;
use crate::surroundings::Surroundings;
use crate::tracer::{Break, Call, trace};
use crate::verbs::{self, Verb};

/// How many points are tried side by side: each is a few short processes one after another, and waits for a mount.
const WORKERS: usize = 3;

/// How often a command is run to come by one of its points.
pub(crate) const TRIES: usize = 8;

/// One place at which something is broken.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    harness: &'static str,
    verb: &'static str,
    /// The call as it was recorded.
    pub(crate) call: Call,
    pub(crate) how: Break,
}

impl Point {
    /// Makes the point at a recorded call.
    pub(crate) fn new(harness: &'static str, verb: &'static str, call: &Call, how: Break) -> Self {
        Self {
            harness,
            verb,
            call: call.clone(),
            how,
        }
    }

    /// Runs a command and breaks it here; again where it has ended without coming by here, as with a piece fewer that
    /// came through a pipe.
    ///
    /// Returns what it said, and what the machine was like before; nothing where it never comes by, and then the pool
    /// is as it was.
    pub(crate) fn reach(&self, verb: &Verb, ground: &Ground) -> Option<(Outcome, Surroundings)> {
        for _ in 0..TRIES {
            let surroundings = Surroundings::of(ground.pool().path());
            let traced = trace(&verb.command(ground), Some((&self.call, self.how)));
            if traced.is_hit {
                return Some((traced.outcome, surroundings));
            }
            ground.put_back();
        }
        None
    }

    /// Returns the name it is run again by.
    fn name(&self) -> String {
        let Call { task, number, .. } = self.call;
        let task = if task > 0 {
            format!("{task}.")
        } else {
            String::new()
        };
        let how = match self.how {
            Break::Kill => String::new(),
            Break::KillTask => ":task".to_string(),
            Break::Fail(errno) => format!(":{errno:?}"),
        };
        format!("{}:{}:{task}{number}{how}", self.harness, self.verb)
    }
}

/// Fails where a command is asked for that none of the harnesses of this name knows: nothing would be tried.
pub(crate) fn refuse_unknown(harness: &str) {
    let asked = asked::of(harness).unwrap_or_default();
    let name = asked.split(':').next().unwrap_or_default();
    let is_known = verbs::all().any(|verb| verb.name == name) || local::has(name);
    assert!(
        name.is_empty() || is_known,
        "{harness} has no command {name:?}: see tests/faults/verbs and tests/faults/local/scenes.rs"
    );
}

/// Returns whether a harness has anything to do with a command.
pub(crate) fn is_wanted(harness: &str, verb: &str) -> bool {
    asked().is_none_or(|name| {
        let mut parts = name.split(':');
        parts.next().is_none_or(|first| first == harness)
            && parts.next().is_none_or(|second| second == verb)
    })
}

/// Returns those of all points that are to be tried: in the short form a spread of `short`.
pub(crate) fn spread(all: Vec<Point>, short: usize) -> Vec<Point> {
    let is_tried = |point: &Point| point.call.is_fresh || !asked::only_after_changes();
    let all: Vec<Point> = all.into_iter().filter(is_tried).collect();
    if let Some(only) = asked() {
        let below = format!("{only}:");
        return all
            .into_iter()
            .filter(|p| p.name() == only || p.name().starts_with(&below))
            .collect();
    }
    if is_full() {
        return all;
    }
    let changing: Vec<_> = all
        .into_iter()
        .filter(|point| point.call.is_fresh)
        .collect();
    let number = changing.len();
    let is_taken = |i: usize| (i * short) / number != ((i + 1) * short) / number;
    changing
        .into_iter()
        .enumerate()
        .filter(|(i, _)| is_taken(*i))
        .map(|(_, point)| point)
        .collect()
}

/// Takes each command of a harness in turn, several workers side by side, and says at the end what was found.
///
/// `points` makes the points of one from a run of it that is not broken, of which some are chosen, `short` in the
/// short form; `at` tries one. In the full form workers share the points of each command, otherwise the commands:
/// to get ready for one takes as long as some points.
pub(crate) fn run(
    harness: &'static str,
    short: usize,
    points: impl Fn(&Verb, &[Call]) -> Vec<Point> + Sync,
    at: impl Fn(&Verb, &Ground, &Judge, &Point, &Tally) -> Faults + Sync,
) {
    let verbs: Vec<&Verb> = verbs::all()
        .filter(|verb| is_wanted(harness, verb.name))
        .collect();
    refuse_unknown(harness);
    if verbs.is_empty() {
        return;
    }
    let start = Instant::now();
    let tally = Tally::default();
    let next = AtomicUsize::new(0);
    // What one worker has recorded of a command is what all try.
    let chosen: Vec<Chosen> = verbs.iter().map(|_| Chosen::default()).collect();
    let work = &|| {
        let mut ground = verbs::ground();
        let mut own = 0;
        loop {
            // In the full form each worker goes through all commands.
            let counter = if is_full() {
                own
            } else {
                next.fetch_add(1, Ordering::Relaxed)
            };
            own += 1;
            let Some(verb) = verbs.get(counter) else {
                return;
            };
            verb.begin(&mut ground);
            let judge = verb.judge(&ground);
            let begun = Instant::now();
            let all = chosen[counter].points.get_or_init(|| {
                let whole = trace(&verb.command(&ground), None);
                assert_eq!(whole.outcome.status, 0, "{}: {whole:#?}", verb.line);
                ground.put_back();
                let all = spread(points(verb, &whole.calls), short);
                assert!(
                    !all.is_empty(),
                    "{harness}:{}: there is no such point",
                    verb.name
                );
                all
            });
            while let Some(point) = all.get(chosen[counter].next.fetch_add(1, Ordering::Relaxed)) {
                let faults = at(verb, &ground, &judge, point, &tally);
                tally.tried(point, &faults);
            }
            if is_full() {
                let (name, number, took) = (verb.name, all.len(), begun.elapsed());
                eprintln!("{name}: {number} points, the last after {took:.0?}");
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            scope.spawn(move || {
                stay_on_one_processor(number);
                work();
            });
        }
    });
    tally.close(harness, start);
}

/// Keeps this thread, and what it starts, on one of the processors.
///
/// A traced program and its tracer take turns at each of its calls; on two processors, each turn wakes the other one up.
fn stay_on_one_processor(number: usize) {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own).unwrap();
    let of_process: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu) == Ok(true))
        .collect();
    let mut one = CpuSet::new();
    one.set(of_process[number % of_process.len()]).unwrap();
    sched_setaffinity(own, &one).unwrap();
}

/// The points of one command that are to be tried, and which of them is next.
#[derive(Debug, Default)]
struct Chosen {
    points: OnceLock<Vec<Point>>,
    next: AtomicUsize,
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
    pub(crate) fn tried(&self, point: &Point, faults: &Faults) {
        self.points.fetch_add(1, Ordering::Relaxed);
        if !faults.is_empty() {
            self.faults.fetch_add(1, Ordering::Relaxed);
            eprintln!(
                "NETBE_FAULT={} ({})\n  {}",
                point.name(),
                point.call.what,
                faults.join("\n  ")
            );
        }
    }

    /// Takes note of a point that was not reached, because no run made the call again that the recorded one did.
    pub(crate) fn missed(&self, point: &Point) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        if is_full() || asked().is_some() {
            eprintln!("not reached: {} ({})", point.name(), point.call.what);
        }
    }

    /// Says how many points were tried and what was found, and fails the test where that is anything.
    pub(crate) fn close(&self, harness: &str, start: Instant) {
        let [points, faults, missed] =
            [&self.points, &self.faults, &self.missed].map(|n| n.load(Ordering::Relaxed));
        let never = if missed > 0 {
            format!(" ({missed} never reached)")
        } else {
            String::new()
        };
        figures(&format!(
            "{harness}: {points} points{never}, {faults} faults, {:.0?}",
            start.elapsed()
        ));
        assert!(points > 0, "{harness}: there is no such point");
        // Who finds the calls again no longer finds no fault either. Not all are: what a sandbox's network does, in a
        // process beside, is not the same calls in every run; of few points, a few more may be missed by chance.
        assert!(
            missed * 10 <= points.max(50),
            "{harness}: {missed} of {points} points were never reached"
        );
        assert_eq!(
            faults, 0,
            "{harness}: {faults} of {points} points show a fault"
        );
    }
}
