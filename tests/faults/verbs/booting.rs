//! Commands that change which environment a node boots.

use super::{PLAIN, Verb};
use crate::support::{Pool, System};

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
        name: "deploy-boot",
        spoil: Some(with_card),
        line: "deploy pi/b --boot /run/netbe-card",
        touched: &["pi"],
        ..PLAIN
    },
    Verb {
        name: "rollback",
        before: &["activate nog/b"],
        line: "rollback nog",
        ..PLAIN
    },
];

/// Makes a Raspberry Pi whose card boots pi/a.
fn with_card(pool: &Pool) {
    let system = pool.beside().join("raspi");
    if !system.exists() {
        System::raspberry_pi().build(&system);
    }
    for line in [
        &format!("import raspi/base {}", system.display()),
        "create pi/a --from raspi --mac dc:a6:32:01:02:09",
        "create pi/b",
        "deploy pi/a --boot /run/netbe-card",
    ] {
        pool.netbe().ok(line);
    }
}

/// It is what boots next, and its trial is not forgotten yet.
fn confirmed(pool: &Pool) {
    let pending = pool.read("nodes/nog/pending.json");
    pool.netbe().ok("confirm nog");
    pool.write("nodes/nog/pending.json", &pending);
}
