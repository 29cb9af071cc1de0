//! Killed anywhere: SIGKILL at every single system call of every command, one run each.
//!
//! The call does not happen any more, so that what is seen is the state between two calls. After each the rules of
//! the judge hold at once, after the same command run again, and after a repair: both orders. Not for what a
//! power cut would leave: a killed process loses nothing that it wrote.

use std::sync::Mutex;
use std::time::Instant;

use crate::ground::Ground;
use crate::judge::{Faults, Judge};
use crate::points::{self, Point, Tally};
use crate::surroundings::Surroundings;
use crate::tracer::{Break, trace};
use crate::verbs::{VERBS, Verb};

/// How many points of each command the short form tries.
const SHORT: usize = 8;

#[test]
fn killed() {
    let start = Instant::now();
    let tally = Tally::default();
    let waiting = Mutex::new(
        VERBS
            .iter()
            .filter(|verb| points::is_wanted("killed", verb.name))
            .rev()
            .collect::<Vec<_>>(),
    );
    std::thread::scope(|scope| {
        for _ in 0..points::WORKERS {
            scope.spawn(|| {
                // Not in the condition: the lock would be held for the whole of it.
                while let Some(verb) = { waiting.lock().unwrap().pop() } {
                    anywhere(verb, &tally);
                }
            });
        }
    });
    tally.close("killed", start);
}

/// Kills one command at all its points.
fn anywhere(verb: &Verb, tally: &Tally) {
    let start = Instant::now();
    let ground = verb.ground();
    let judge = verb.judge(&ground);
    let whole = trace(&verb.command(&ground), None);
    assert_eq!(whole.outcome.status, 0, "{}: {whole:#?}", verb.line);
    ground.put_back();
    let mut all = Vec::new();
    for call in &whole.calls {
        all.push(Point::new("killed", verb.name, call, Break::Kill));
        if !call.own {
            // What netbe has started to prepare a sandbox; netbe itself goes on, and tells.
            all.push(Point::new("killed", verb.name, call, Break::KillTask));
        }
    }
    let chosen = points::chosen(all, SHORT);
    let number = chosen.len();
    for point in chosen {
        let faults = at(verb, &ground, &judge, &point, tally);
        tally.tried(&point, faults);
    }
    tally.of(verb.name, number, start);
}

/// Kills the command at a point and judges what it leaves.
fn at(verb: &Verb, ground: &Ground, judge: &Judge, point: &Point, tally: &Tally) -> Faults {
    let mut faults = Faults::new();
    let orders: &[bool] = match (points::is_full(), point.number % 2) {
        (true, _) => &[true, false],
        (false, 0) => &[true],
        (false, _) => &[false],
    };
    for repair_first in orders {
        let surroundings = Surroundings::of(ground.pool().path());
        let traced = trace(&verb.command(ground), Some(point.at()));
        if traced.hit.is_none() {
            // A call fewer than when it was recorded: it has ended by itself.
            tally.missed();
        }
        faults.extend(surroundings.left());
        if traced.outcome.stderr.contains("panicked") {
            faults.push(format!("{:#?}", traced.outcome));
        }
        if ground.is_unchanged() {
            // The recording has shown what the command makes of this, and there is nothing to repair.
            return faults;
        }
        let (standing, which) = judge.standing();
        faults.extend(standing);
        if *repair_first {
            faults.extend(judge.repair());
        }
        // Twice is back again.
        if verb.name != "rollback" || which == Some(0) {
            faults.extend(judge.again(&verb.arguments(), verb.done));
        }
        faults.extend(judge.repair());
        faults.extend(surroundings.left());
        ground.put_back();
        if !faults.is_empty() {
            faults.push(format!(
                "it was killed at {:?}, having said {:#?}",
                traced.hit, traced.outcome
            ));
            return faults;
        }
    }
    faults
}
