//! Commands that change which environment a node boots.

use std::fs;

use serde_json::Value;

use super::{PLAIN, Verb};
use crate::judge::Steps;
use crate::support::{Pool, System};

/// It is noted that a machine may come to run nog/b, and nothing is led there.
const LED: &[&[&str]] = &[&["activate --once nog/b", "activate --cancel nog"]];

pub(super) const NOT_YET_LED: &str = "# It is pending, and the names lead to what is active.";

pub(super) const LED_TO_ACTIVE: &str = "!ln -sfn ../nodes/nog/active/boot tftp/dc-a6-32-01-02-03";

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
        between: &[
            LED[0],
            &[NOT_YET_LED, "activate --once nog/b", LED_TO_ACTIVE],
        ],
        ..PLAIN
    },
    Verb {
        name: "activate-try",
        line: "activate --try nog/b",
        touched: &["nog/b"],
        between: &[
            LED[0],
            &[NOT_YET_LED, "activate --try nog/b", LED_TO_ACTIVE],
            &[
                "# It may have been running before, so its boot files are as they were.",
                "activate --once nog/b",
                "activate --cancel nog",
                "activate --try nog/b",
            ],
        ],
        // `panic=`, before a machine can come.
        steps: Steps {
            first: &["nog/b, boot"],
            ..Steps::NONE
        },
        ..PLAIN
    },
    Verb {
        name: "cancel",
        before: &["activate --once nog/b"],
        line: "activate --cancel nog",
        between: &[&[
            "# Nothing is pending, and the name leads there still.",
            "activate --cancel nog",
            "!ln -sfn ../nodes/nog/envs/b/boot tftp/dc-a6-32-01-02-03",
        ]],
        touched: &["nog/b"],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "confirm",
        before: &["activate --try nog/b"],
        line: "confirm nog",
        touched: &["nog/b"],
        half_done: &[confirmed],
        done: &["nog"],
        ..PLAIN
    },
    Verb {
        name: "deploy-boot",
        spoil: Some(with_card),
        line: "deploy pi/b --boot /run/netbe-card",
        touched: &["pi"],
        half_done: &[expected_on_card, on_card_or_not],
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

/// It is noted that a machine may come to run pi/b, and its card is as it was.
fn expected_on_card(pool: &Pool) {
    let record = pool.of_node("pi", "node.json");
    let before = fs::read(&record).unwrap();
    pool.netbe().ok("deploy pi/b --boot /run/netbe-card");
    fs::write(record, before).unwrap();
}

/// Its card may boot either.
fn on_card_or_not(pool: &Pool) {
    let file = pool.of_node("pi", "node.json");
    let read = || -> Value { serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap() };
    let before = read()["card"]["uuid"].clone();
    pool.netbe().ok("deploy pi/b --boot /run/netbe-card");
    let mut record = read();
    record["card"]["replaces"] = vec![before].into();
    record["card"]["unfinished"] = true.into();
    fs::write(file, record.to_string()).unwrap();
}
