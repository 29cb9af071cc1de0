//! `run` and `shell`.

use std::fs;

use super::{debian, state};

#[test]
fn run_ends_as_its_command_did() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/next");
    for (command, status) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["true"], 0),
        (&["/no/such/program"], 127),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
        (&["sh", "-c", "kill -9 $$"], 137),
    ] {
        let outcome = netbe.run_with(&[&["run", "nog/next", "--"], command].concat());
        assert_eq!(outcome.status, status, "{command:?}: {outcome:#?}");
    }
    let outcome = netbe.run_with(&[
        "run",
        "nog/next",
        "--",
        "sh",
        "-c",
        "hostname; id -u; echo here >&2",
    ]);
    assert_eq!(outcome.stdout, "nog\n0\n");
    assert_eq!(outcome.stderr, "here\n");
    netbe.fails(125, "run nog/none -- true");
    // What it changed of netbe's own is put right.
    netbe.ok("run nog/next -- rm /etc/fstab");
    netbe.ok("activate nog/next");
    netbe.ok("check");
}

#[test]
fn a_failure_of_netbe_after_the_command_has_status_125() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let outcome = netbe.run_with(&["run", "nog/work", "--", "sh", "-c", "rm /boot/vmlinuz-*"]);
    assert_eq!(outcome.status, 125, "{outcome:#?}");
    assert!(outcome.stderr.contains("no kernel"), "{outcome:#?}");
    assert!(!outcome.stderr.contains("was not run"), "{outcome:#?}");
}

#[test]
fn run_refuses_booted_environments() {
    let pool = debian();
    let netbe = pool.netbe();
    let before = state(&pool);
    let said = netbe.fails(125, "run nog/first -- true");
    for text in [
        "nog may be running nog/first",
        "work in a copy\nhint: netbe clone nog/first nog/first-copy",
    ] {
        assert!(said.contains(text), "{said}");
    }
    // Off the network nothing runs it, but it is still what boots next.
    netbe.ok("set mac= nog");
    let said = netbe.fails(125, "run nog/first -- true");
    assert!(
        said.contains("nog/first is the active environment of nog"),
        "{said}"
    );
    netbe.ok("set mac=52:54:00:00:00:01 nog");
    netbe.fails(125, "run nog -- true");
    netbe.fails(125, "shell nog/first");
    before
        .without(&["nodes/nog/node.json"])
        .assert_unchanged(&state(&pool).without(&["nodes/nog/node.json"]));
    netbe.ok("run base/it -- touch /etc/in-the-template");
    assert!(
        pool.half("base/it", "root")
            .join("etc/in-the-template")
            .exists()
    );
    netbe.ok("clone nog/first nog/next");
    let mut shell = netbe.command();
    let output = shell
        .args(["shell", "nog/next"])
        .write_stdin("echo in a shell > /etc/shell\nexit 9\n")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    let made = pool.half("nog/next", "root").join("etc/shell");
    assert_eq!(fs::read_to_string(made).unwrap(), "in a shell\n");
}
