//! `confirm`. Of several nodes: `activate`; how a trial ends by itself: `activate/trial`.

use std::fs;

use crate::machine::{Machine, with_b};

#[test]
fn confirm_activates_the_environment_of_a_pending_boot() {
    let pool = with_b();
    pool.refuses(3, "confirm nog", &["nog has no pending boot"]);
    pool.netbe().ok("activate --once nog/b");
    assert!(pool.plans("confirm nog").contains("nog/b for good"));
    pool.netbe().ok("confirm nog");
    assert_eq!(
        (pool.active("nog").as_str(), pool.pending().as_str()),
        ("b", "")
    );
}

#[test]
fn confirm_verifies_and_warns() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    let modules = pool.half("nog/b", "root").join("usr/lib/modules");
    fs::remove_dir_all(modules).unwrap();
    let confirmed = pool.netbe().run("confirm nog");
    assert_eq!(confirmed.status, 0, "{confirmed:#?}");
    let words = &confirmed.stderr;
    assert!(
        words.contains("nog/b may not boot: ") && words.contains("modules"),
        "{words}"
    );
    assert_eq!(pool.active("nog"), "b");
    assert!(pool.flags("nog/b").contains('!'));
}
