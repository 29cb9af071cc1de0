//! Killed anywhere: SIGKILL at every single system call of every command, one run each.
//!
//! The call does not happen any more, so that what is seen is the state between two calls. After each the rules of
//! the judge hold at once, after the same command run again, and after a repair: both orders. Not for what a
//! power cut would leave: a killed process loses nothing that it wrote.

use crate::asked;
use crate::ground::Ground;
use crate::judge::{Faults, Judge};
use crate::points::{self, Point, Tally};
use crate::report::against;
use crate::tracer::{Break, Call};
use crate::verbs::Verb;

/// How many points of each command the short form tries.
const SHORT: usize = 2;

#[test]
fn invariants_1_to_4_9_and_10_hold_wherever_it_is_killed() {
    points::run("killed", SHORT, all, at);
}

/// Returns every point of a command.
fn all(verb: &Verb, calls: &[Call]) -> Vec<Point> {
    let mut all = Vec::new();
    for call in calls {
        all.push(Point::new("killed", verb.name, call, Break::Kill));
        if !call.own {
            // What netbe has started to prepare a sandbox; netbe itself goes on, and tells.
            all.push(Point::new("killed", verb.name, call, Break::KillTask));
        }
    }
    all
}

/// Kills the command at a point and judges what it leaves.
///
/// To run it again and to repair is tried wherever the call before may have changed something: after others the
/// pool is what it was at the point before.
fn at(verb: &Verb, ground: &Ground, judge: &Judge, point: &Point, tally: &Tally) -> Faults {
    let orders: &[Order] = match (point.call.is_fresh, asked::is_full(), point.call.number % 2) {
        (false, ..) => &[Order::Neither],
        (true, true, _) => &[Order::RepairFirst, Order::AgainFirst],
        (true, false, 0) => &[Order::RepairFirst],
        (true, false, _) => &[Order::AgainFirst],
    };
    let mut faults = Faults::new();
    for order in orders {
        let Some((outcome, surroundings)) = point.reach(verb, ground) else {
            tally.missed(point);
            return faults;
        };
        faults.extend(surroundings.left());
        if outcome.stderr.contains("panicked") {
            faults.push(against(9, format!("{outcome:#?}")));
        }
        if ground.is_unchanged() && !verb.unseen {
            // The recording has shown what the command makes of this, and there is nothing to repair.
            return faults;
        }
        let judging = || (aftermath(verb, judge, *order), None);
        faults.extend(judge.once(order.name(), ground, judging).0);
        faults.extend(surroundings.left());
        ground.put_back();
        if !faults.is_empty() {
            faults.push(format!("killed, having said {outcome:#?}"));
            return faults;
        }
    }
    faults
}

/// What is done with what a killed command has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Neither,
    RepairFirst,
    AgainFirst,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Neither => "killed",
            Self::RepairFirst => "killed and repaired",
            Self::AgainFirst => "killed and run again",
        }
    }
}

/// Judges what a killed command has left: as it is, and after what people do then.
fn aftermath(verb: &Verb, judge: &Judge, order: Order) -> Faults {
    let (mut faults, which) = judge.standing();
    if order == Order::RepairFirst {
        faults.extend(judge.repair());
    }
    // Twice is back again.
    let is_done = verb.name == "rollback" && which != Some(0);
    if order != Order::Neither {
        if !is_done {
            faults.extend(judge.again(&verb.arguments(), verb.done));
        }
        faults.extend(judge.repair());
    }
    faults
}
