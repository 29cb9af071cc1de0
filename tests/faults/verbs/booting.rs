//! What says which environment a node boots.

use super::{PLAIN, Verb};
use crate::support::Pool;

/// It is noted that a machine may come to run nog/b, and nothing is led there.
const LED: &[&[&str]] = &[&["activate --once nog/b", "activate --cancel nog"]];

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "activate",
        line: "activate nog/b",
        touched: &["nog/b"],
        between: LED,
        ..PLAIN
    },
    Verb {
        name: "activate-newest",
        before: &["destroy -y nog/b", "create nog/b --from base"],
        line: "activate nog",
        touched: &["nog/b"],
        between: LED,
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "activate-once",
        line: "activate --once nog/b",
        touched: &["nog/b"],
        between: LED,
        ..PLAIN
    },
    Verb {
        name: "activate-try",
        line: "activate --try nog/b",
        touched: &["nog/b"],
        between: LED,
        ..PLAIN
    },
    Verb {
        name: "cancel",
        before: &["activate --once nog/b"],
        line: "activate --cancel nog",
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "confirm",
        before: &["activate --try nog/b"],
        line: "confirm nog",
        touched: &["nog/b"],
        half_done: Some(confirmed),
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "rollback",
        before: &["activate nog/b"],
        line: "rollback nog",
        ..PLAIN
    },
];

/// It is what boots next, and its trial is not forgotten yet.
fn confirmed(pool: &Pool) {
    let pending = pool.read("nodes/nog/pending.json");
    pool.netbe().ok("confirm nog");
    pool.write("nodes/nog/pending.json", &pending);
}
