//! `activate`: the one commit point, what is checked before it, and pointers that are broken.

mod once;
mod pending;
mod pointer;
mod power;
mod trial;
mod verification;

use std::fs;

use crate::support::Pool;

#[test]
fn an_environment_is_activated_and_activated_again() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    assert_eq!(
        pool.netbe().ok("activate nog/b"),
        "Activated nog/b; nog/a was active before.\n"
    );
    assert_eq!(pool.active("nog"), "b");
    let before = pool.fingerprint();
    assert_eq!(pool.netbe().ok("activate nog/b"), "nog/b is active.\n");
    before.assert_unchanged(&pool.fingerprint());
    pool.assert_sound();
}

#[test]
fn a_node_alone_means_its_newest_when_that_is_newer() {
    let pool = Pool::with_node();
    for name in ["b", "c"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "c");
    // Nothing newer: what is active stays.
    assert_eq!(pool.netbe().ok("activate nog"), "nog/c is active.\n");
    pool.netbe().ok("activate nog/b");
    assert_eq!(
        pool.netbe().ok("activate nog"),
        "Activated nog/c; nog/b was active before.\n"
    );
}

#[test]
fn without_an_operand_exactly_one_candidate_is_taken() {
    let pool = Pool::with_node();
    pool.refuses(
        3,
        "activate",
        &["no node has an environment newer", "hint: netbe list"],
    );
    pool.netbe().ok("create ordo/a");
    pool.netbe().ok("create ordo/b");
    pool.netbe().ok("activate");
    assert_eq!(pool.active("ordo"), "b");
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create ordo/c");
    pool.refuses(
        3,
        "activate",
        &["nog/b, ordo/c", "hint: netbe activate nog"],
    );
}

#[test]
fn what_does_not_exist_is_not_found() {
    let pool = Pool::with_node();
    pool.refuses(4, "activate ordo", &["no node ordo", "hint: "]);
    pool.refuses(
        4,
        "activate nog/zz",
        &["no environment nog/zz", "hint: netbe list nog"],
    );
    pool.refuses(4, "rollback ordo", &["no node ordo"]);
}

#[test]
fn a_dry_run_refuses_or_says_the_step() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let plan = pool.plans("activate nog/b");
    assert_eq!(plan.lines().next(), Some("would export nog/b"));
    assert!(plan.contains("nog/b instead of nog/a"), "{plan}");
    pool.refuses(4, "activate nog/zz -n", &["no environment nog/zz"]);
}

#[test]
fn invariant_2_what_is_activated_is_exported_before_the_pointer_moves() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    // The server cannot take it over: nothing may lead to it.
    crate::support::run(std::process::Command::new("mount").args([
        "-o",
        "remount,ro",
        "/etc/exports.d",
    ]));
    let said = pool.netbe().fails(1, "activate nog/b");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(pool.active("nog"), "a");
    crate::support::run(std::process::Command::new("mount").args([
        "-o",
        "remount,rw",
        "/etc/exports.d",
    ]));
    pool.netbe().ok("activate nog/b");
    assert!(pool.read("publish/exports").contains("envs/b/root\""));
    pool.assert_sound();
}

#[test]
fn a_template_is_not_held_to_what_a_machine_needs() {
    let pool = Pool::with_template();
    pool.netbe().ok("create base/next");
    fs::remove_dir_all(pool.half("base/next", "root").join("usr/lib/modules")).unwrap();
    pool.netbe().ok("activate base/next");
    assert_eq!(pool.active("base"), "next");
}
