//! Upgrades, runs and what goes wrong in them, on a small Debian whose package manager is a script.
//!
//! The real one is in `tests/real.rs`; here are its failures, which a real one has too rarely.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod activating;
mod alpine;
mod beside;
mod container;
mod inside;
mod kept;
mod lent;
mod lists;
mod many;
mod outcome;
mod run;
mod sharing;
mod stopping;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use support::{Fingerprint, Netbe, Outcome, Pool, System};

/// Returns a pool with a template of the system, and the node nog with the environment `first` made from it.
fn pool_of(system: &System) -> Pool {
    let pool = Pool::new();
    let netbe = pool.netbe();
    system.build(&pool.beside().join("system"));
    netbe.ok("import base/it system");
    netbe.ok("create nog/first --mac 52:54:00:00:00:01");
    pool
}

fn debian() -> Pool {
    pool_of(&System::debian())
}

/// Upgrades nog by a shell's script.
fn upgrade(netbe: &Netbe, options: &str, script: &str) -> Outcome {
    let mut arguments = vec!["upgrade", "--node", "nog"];
    arguments.extend(options.split_whitespace());
    arguments.extend(["--", "sh", "-c", script]);
    netbe.run_with(&arguments)
}

fn assert_ok(outcome: &Outcome) {
    assert_eq!(outcome.status, 0, "{outcome:#?}");
}

/// Returns the names of nog's environments.
fn environments(netbe: &Netbe) -> Vec<String> {
    let list = netbe.ok("list -H nog");
    let field = |line: &str| {
        line.split('\t')
            .nth(1)
            .expect("it has nine fields")
            .to_string()
    };
    list.lines().map(field).collect()
}

/// Everything of a pool that counts: locks say who held them last, and a failed upgrade leaves its log.
fn state(pool: &Pool) -> Fingerprint {
    pool.fingerprint()
        .without(&["nodes/nog/failed-upgrade.log"])
}

/// Returns the processes with this argument.
fn processes_with(argument: &str) -> Vec<Pid> {
    let has = |directory: &Path| {
        let line = fs::read(directory.join("cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|a| a == argument.as_bytes())
    };
    let pid = |directory: PathBuf| directory.file_name()?.to_str()?.parse().ok();
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .map(|entry| entry.expect("/proc can be read").path())
        .filter(|directory| has(directory))
        .filter_map(pid)
        .map(Pid::from_raw)
        .collect()
}
