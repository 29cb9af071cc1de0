//! Commands that only read take no lock, not even for an instant: a command with `--wait 0` beside them would be refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::asked;
use crate::ground::Ground;
use crate::support::{Pool, TFTP_NAME};
use crate::tracer::trace;
use crate::verbs;

/// Each kind of lock, by the end of the path that is locked, or a part of it, and a command that takes it. The disk that
/// `deploy` writes is locked by another program.
const KINDS: [(&str, &str); 8] = [
    ("/locks/POOL", "set cmdline=quiet"),
    ("/locks/nog", "describe nog/b text"),
    ("/locks/nog,b", "run nog/b -- true"),
    ("/locks/DEDUPE", "dedupe"),
    ("/.staged-k-", "create nog/k"),
    // Shared: it is nog's environment that must not change.
    ("/locks/nog", "create ordo/z --from nog"),
    ("/locks/PACKAGES", "upgrade --all"),
    ("/boots.jsonl", FETCHED),
];

/// Its machine has fetched a file.
const FETCHED: &str = "transfer 1000 192.0.2.7 NAME/pxelinux.cfg/default";

/// An apt-get that has a package to fetch, and nothing to install.
const APT: &str = "#!/bin/sh
case \" $* \" in *' --print-uris '*)
    echo \"'http://192.0.2.9/one_1_all.deb' one_1_all.deb 9 SHA256:0000000000000000000000000000000000000000000000000000000000000000\"
esac
";

/// Returns what a command locks, a path each; that it ends with one of these statuses is held.
fn locked(ground: &Ground, line: &str, statuses: &[i32]) -> Vec<String> {
    let mut command = ground.pool().netbe().plain();
    let name = ground.pool().at(&format!("tftp/{TFTP_NAME}"));
    command.args(line.replace("NAME", &name.to_string_lossy()).split(' '));
    let traced = trace(&command, None);
    let outcome = &traced.outcome;
    assert!(statuses.contains(&outcome.status), "{line}: {outcome:#?}");
    let calls = traced.calls.into_iter();
    calls
        .filter_map(|call| call.locked().map(str::to_string))
        .collect()
}

/// Makes what only looks meet every kind of lock: files of locks that were taken once, and what a killed command left; a
/// pending boot, fetched files and a report.
fn leave(pool: &Pool) {
    pool.netbe().ok("activate --once nog/b");
    let reports = pool.half("nog/a", "root").join("var/lib/netbe");
    fs::create_dir_all(&reports).unwrap();
    let report = "boot_id=first-boot\nkernel=6.1.0-50-amd64\ntime=1\n";
    fs::write(reports.join("booted"), report).unwrap();
    assert!(pool.at("nodes/nog/boots.jsonl").exists());
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
    if asked::of("reading").is_none() {
        return;
    }
    let ground = verbs::ground();
    for env in ["nog/a", "ordo/x"] {
        let apt = ground.pool().half(env, "root").join("usr/bin/apt-get");
        fs::write(&apt, APT).unwrap();
        fs::set_permissions(apt, Permissions::from_mode(0o755)).unwrap();
    }
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
        "status --json",
        "get",
        "get all",
        "diff nog/b",
        "diff --files nog/b",
        "diff --boot nog/b",
        "check",
        "check nog",
        "publish -n",
        "prune -n --keep 1",
        "destroy -n nog/k",
        "create -n nog/n",
        "activate -n nog/b",
        "reconcile -n",
        "merge -n nog/a nog/b",
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
