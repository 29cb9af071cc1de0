//! Pending boots: refusals, how one ends, and the protection of its environment.

use std::fs;
use std::path::PathBuf;

use crate::machine::{Machine, with_b};
use crate::support::TFTP_NAME;

#[test]
fn rollback_ends_a_trial() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("create nog/c --from nog/a");
    pool.netbe().ok("activate --try nog/c");
    pool.netbe().ok("rollback nog");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "a")
    );
    assert_eq!(pool.pending(), "");
    assert!(
        pool.netbe()
            .ok("activate --cancel nog")
            .contains("has no pending boot")
    );
}

#[test]
fn impossible_trials_are_refused() {
    let pool = with_b();
    pool.refuses(
        3,
        "activate --try nog/a",
        &["nog/a is already the active environment of nog"],
    );
    pool.refuses(
        3,
        "activate --once base/stock",
        &["no machine can ask for base"],
    );
    pool.refuses(4, "activate --try nog/none", &["no environment nog/none"]);
    pool.refuses(2, "activate --cancel", &["--cancel needs a node"]);
    for line in [
        "activate --try=0 nog/b",
        "activate --try=soon nog/b",
        "activate --try --once nog/b",
        "activate --cancel --once nog",
        "upgrade --node nog --try -a",
    ] {
        assert_eq!(pool.netbe().run(line).status, 2, "{line}");
    }
    let modules = pool.half("nog/b", "root").join("usr/lib/modules");
    fs::remove_dir_all(modules).unwrap();
    pool.refuses(3, "activate --try nog/b", &["nog/b would not boot"]);
    assert!(
        pool.plans("activate --once nog/b --force")
            .contains("lead nog to nog/b")
    );
}

#[test]
fn invariant_9_a_name_that_a_crash_left_is_put_right() {
    let pool = with_b();
    let name: PathBuf = pool.at(&format!("tftp/{TFTP_NAME}"));
    pool.netbe().ok("activate --once nog/b");
    // Written down, and not yet led to.
    fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink("../nodes/nog/active/boot", &name).unwrap();
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "b");
    // Forgotten, and still led to.
    fs::remove_file(pool.at("nodes/nog/pending.json")).unwrap();
    assert_eq!(pool.netbe().run("check").status, 1);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a");
    pool.netbe().ok("check");
}

#[test]
fn invariant_3_a_pending_environment_that_is_gone_leaves_no_name_dangling() {
    let pool = with_b();
    pool.write("nodes/nog/pending.json", r#"{"env":"gone","kind":"once"}"#);
    pool.netbe().ok("publish");
    assert_eq!(pool.led_to(), "a");
    assert!(
        pool.netbe()
            .ok("reconcile")
            .contains("nog/gone, the pending boot, does not exist any more")
    );
    assert_eq!(
        (pool.led_to(), pool.pending()),
        ("a".to_string(), String::new())
    );
}

#[test]
fn invariant_4_a_pending_environment_is_mounted_read_only() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    let at = pool.netbe().ok("mount nog/b");
    let error = fs::write(PathBuf::from(at.trim()).join("etc/new"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    pool.netbe().ok("umount nog/b");
}

#[test]
fn invariant_3_the_names_of_a_node_whose_record_is_lost_are_led_back() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    assert_eq!(pool.led_to(), "b");
    pool.write("nodes/nog/node.json", "garbage");
    pool.netbe().ok("activate --cancel nog");
    assert_eq!(pool.led_to(), "a");
}

#[test]
fn names_stay_where_it_cannot_be_read_whether_a_boot_is_pending() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    pool.write("nodes/nog/pending.json", "{");
    pool.netbe().run("publish");
    assert_eq!(pool.led_to(), "b");
    let found = pool.netbe().run("check").stdout;
    assert!(found.contains("(pending.json: "), "{found}");
    pool.netbe().ok("activate --cancel nog");
    assert_eq!(pool.led_to(), "a");
}
