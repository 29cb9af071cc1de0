//! What says which environment a node boots.

use super::{PLAIN, Verb};

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "activate",
        line: "activate nog/b",
        touched: &["nog/b"],
        ..PLAIN
    },
    Verb {
        name: "activate-newest",
        line: "activate nog",
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "activate-once",
        line: "activate --once nog/b",
        touched: &["nog/b"],
        ..PLAIN
    },
    Verb {
        name: "activate-try",
        line: "activate --try nog/b",
        touched: &["nog/b"],
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
