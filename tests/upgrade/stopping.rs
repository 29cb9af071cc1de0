//! Upgrades that are stopped: ^C, a polite kill, kill -9 of either side.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{debian, environments, processes_with, state};
use crate::support::{Pool, mounts, wait_until};

/// Starts an upgrade that does not end by itself; returns netbe once the command runs.
fn started(pool: &Pool, options: &[&str], mark: &str) -> Child {
    let script = format!("trap '' TERM INT; echo begun; touch /begun; sleep {mark}; sleep {mark}");
    let child = Command::new(assert_cmd::cargo::cargo_bin!("netbe"))
        .args(["upgrade", "--node", "nog"])
        .args(options)
        .args(["--", "sh", "-c", &script])
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the command runs", || !processes_with(mark).is_empty());
    child
}

/// Waits for netbe to end, and returns its status, −1 after a signal, and what it said on stderr.
fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn a_signal_stops_the_command_and_leaves_no_files() {
    let pool = debian();
    let netbe = pool.netbe();
    for (signal, options, mark) in [
        (Signal::SIGINT, &[][..], "515101"),
        (Signal::SIGTERM, &[], "515102"),
        (Signal::SIGHUP, &[], "515103"),
        // To keep what failed is not to keep what was given up.
        (Signal::SIGINT, &["--keep"], "515106"),
    ] {
        let (before, table) = (state(&pool), mounts());
        let child = started(&pool, options, mark);
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let (status, output) = ended(child);
        assert_eq!(status, 1, "{output}");
        assert!(output.contains(&format!("stopped by {signal}")), "{output}");
        assert_eq!(processes_with(mark), []);
        before.assert_unchanged(&state(&pool));
        assert_eq!(mounts(), table);
        netbe.ok("check");
    }
}

#[test]
fn a_killed_command_leaves_no_files() {
    let pool = debian();
    let (before, table) = (state(&pool), mounts());
    let child = started(&pool, &[], "515104");
    // The shell, not what it waits for: the program netbe started.
    for pid in processes_with("515104") {
        let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = parent
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(1)
            .unwrap();
        kill(Pid::from_raw(parent.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
    let (status, output) = ended(child);
    assert_eq!(status, 1, "{output}");
    assert!(output.contains("was killed by SIGKILL"), "{output}");
    assert_eq!(processes_with("515104"), []);
    before.assert_unchanged(&state(&pool));
    assert_eq!(mounts(), table);
    pool.netbe().ok("check");
}

#[test]
fn the_command_of_a_killed_netbe_ends_and_check_removes_its_stage() {
    let pool = debian();
    let netbe = pool.netbe();
    let (before, table) = (state(&pool), mounts());
    let child = started(&pool, &[], "515105");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    let (status, _) = ended(child);
    assert_eq!(status, -1);
    wait_until("the command is gone", || {
        processes_with("515105").is_empty()
    });
    assert_eq!(mounts(), table);
    // Hidden, and in nobody's way: the lock went with its holder.
    assert_eq!(environments(&netbe), ["first"]);
    netbe.ok("describe --wait 0 nog/first anything");
    netbe.ok("describe nog/first nothing");
    let found = netbe.run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    assert!(found.stdout.contains(".staged-"), "{found:#?}");
    netbe.ok("check --repair");
    netbe.ok("check");
    assert_eq!(mounts(), table);
    let same = &["nodes/nog/envs/first/env.json"];
    before
        .without(same)
        .assert_unchanged(&state(&pool).without(same));
}
