//! Commands that destroy or rename environments and nodes.

use std::fs;

use serde_json::Value;

use super::{PLAIN, Verb};
use crate::support::Pool;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "destroy",
        line: "destroy -y nog/b",
        touched: &["nog/b"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "prune",
        before: &["create nog/c", "create ordo/z"],
        line: "prune --keep 1",
        touched: &["nog/b", "ordo/y"],
        // One that fails does not keep the other.
        between: &[&["destroy -y nog/b"], &["destroy -y ordo/y"]],
        ..PLAIN
    },
    Verb {
        name: "destroy-node",
        line: "destroy -y -r ordo",
        touched: &["ordo"],
        done: &["no node"],
        ..PLAIN
    },
    Verb {
        name: "rename",
        line: "rename nog/b c",
        touched: &["nog/b", "nog/c"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "rename-active",
        line: "rename ordo/x z",
        touched: &["ordo/x", "ordo/z"],
        done: &["no environment"],
        ..PLAIN
    },
    Verb {
        name: "rename-node",
        line: "rename ordo werda",
        touched: &["ordo", "werda"],
        half_done: &[replacing],
        done: &["no node"],
        ..PLAIN
    },
];

/// It has its new name, and is still to replace the one with the old.
fn replacing(pool: &Pool) {
    pool.netbe().ok("rename ordo werda");
    let file = pool.of_node("werda", "node.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["replaces"] = "ordo".into();
    fs::write(file, record.to_string()).unwrap();
}
