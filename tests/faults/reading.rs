//! Commands that only read take no lock, not even for an instant: a command with `--wait 0` beside them would be refused.

use std::fs;

use crate::ground::Ground;
use crate::support::Pool;
use crate::tracer::trace;
use crate::verbs;

/// Each kind of lock, by the end of the path that is locked, or a part of it, and a command that takes it.
const KINDS: [(&str, &str); 5] = [
    ("/locks/POOL", "set cmdline=quiet"),
    ("/locks/nog", "describe nog/b text"),
    ("/locks/nog,b", "run nog/b -- true"),
    ("/locks/DEDUPE", "dedupe"),
    ("/.staged-k-", "create nog/k"),
];

/// Returns what a command locks, a path each; that it ends with one of these statuses is held.
fn locked(ground: &Ground, line: &str, statuses: &[i32]) -> Vec<String> {
    let mut command = ground.pool().netbe().plain();
    command.args(line.split(' '));
    let traced = trace(&command, None);
    let outcome = &traced.outcome;
    assert!(statuses.contains(&outcome.status), "{line}: {outcome:#?}");
    let calls = traced.calls.into_iter();
    calls
        .filter_map(|call| call.locked().map(str::to_string))
        .collect()
}

/// Makes what only looks meet every kind of lock: files of locks that were taken once, and what a killed command left.
fn leave(pool: &Pool) {
    for stage in [
        "nodes/.staged-werda-64c0ffee1",
        "nodes/nog/.staged-k-64c0ffee1",
    ] {
        fs::create_dir(pool.at(stage)).unwrap();
    }
    for name in ["nog,b", "DEDUPE", "PACKAGES"] {
        fs::write(pool.at("locks").join(name), "4194304\nnetbe run nog/b\n").unwrap();
    }
}

#[test]
fn invariant_10_reading_commands_take_no_lock() {
    if std::env::var("NETBE_FAULT").is_ok_and(|fault| !fault.starts_with("reading")) {
        return;
    }
    let ground = verbs::ground();
    for (kind, line) in KINDS {
        let found = locked(&ground, line, &[0]);
        let is_seen = found
            .iter()
            .any(|path| path.ends_with(kind) || path.contains(".staged") && path.contains(kind));
        assert!(is_seen, "{line} is not seen to lock {kind}: {found:#?}");
    }
    leave(ground.pool());
    for line in [
        "list",
        "list --tree nog",
        "list --json",
        "list --space",
        "status",
        "get",
        "diff nog/b",
        "check",
        "check nog",
        "publish -n",
        "prune -n --keep 1",
        "destroy -n nog/b",
    ] {
        // What was left is found.
        let statuses: &[i32] = if line.starts_with("check") {
            &[1]
        } else {
            &[0]
        };
        let found = locked(&ground, line, statuses);
        assert!(found.is_empty(), "{line} locks {found:#?}");
    }
}
