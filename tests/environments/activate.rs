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
fn a_node_alone_means_its_upgrade_and_never_a_copy() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/copy");
    pool.refuses(
        3,
        "activate nog",
        &[
            "nog has no upgrade to activate; its newer environments were not made by one: nog/copy",
            "hint: netbe activate nog/copy\n",
        ],
    );
    pool.propose("nog/b");
    pool.netbe().ok("create nog/for-safety");
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "b");
    // Another node's system is no copy.
    pool.netbe().ok("create nog/c --from base");
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "c");
    // Nothing newer: what is active stays.
    assert_eq!(pool.netbe().ok("activate nog"), "nog/c is active.\n");
    pool.netbe().ok("activate nog/a");
    let output = pool.netbe().run("activate nog");
    assert_eq!(
        output.stdout, "Activated nog/c; nog/a was active before.\n",
        "{output:#?}"
    );
    assert_eq!(
        output.stderr,
        "note: nog/b was made to be booted next, too: netbe activate nog/b\n"
    );
    pool.assert_sound();
}

#[test]
fn a_hint_has_the_options_that_were_asked_for() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/copy");
    for (asked, hinted) in [
        ("--try", "--try=10m"),
        ("--try=90s --force", "--try=90s --force"),
        ("--once", "--once"),
        ("--force", "--force"),
        ("--merge --packages", "--merge --packages"),
        ("-n", ""),
    ] {
        let output = pool.netbe().fails(3, &format!("activate {asked} nog"));
        let hint = format!("hint: netbe activate {hinted} nog/copy\n").replace("  ", " ");
        assert!(output.ends_with(&hint), "{asked}: {output}");
    }
    pool.propose("nog/b");
    pool.propose("nog/c");
    let output = pool.netbe().run("activate --once nog").stderr;
    let note = "nog/b was made to be booted next, too: netbe activate --once nog/b\n";
    assert!(output.contains(note), "{output}");
}

#[test]
fn a_node_alone_means_its_trial() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --try nog/b");
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn activate_names_the_trial_that_it_ends() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --try nog/b");
    assert!(
        pool.plans("activate nog/a")
            .contains("would let nog boot nog/a, as before, and end the trial of nog/b\n")
    );
    assert_eq!(
        pool.netbe().ok("activate nog/a"),
        "nog/a is active. This ended the trial of nog/b.\n"
    );
    pool.netbe().ok("activate --once nog/b");
    pool.netbe().ok("create nog/c");
    assert_eq!(
        pool.netbe().ok("activate nog/c"),
        "Activated nog/c; nog/a was active before. This ended the pending boot of nog/b.\n"
    );
}

#[test]
fn without_an_operand_exactly_one_candidate_is_taken() {
    let pool = Pool::with_node();
    pool.refuses(
        3,
        "activate",
        &["no node has an upgrade to activate", "hint: netbe list\n"],
    );
    pool.netbe().ok("create ordo/a");
    pool.propose("ordo/b");
    pool.netbe().ok("create nog/copy");
    pool.netbe().ok("activate");
    assert_eq!(pool.active("ordo"), "b");
    pool.propose("nog/b");
    pool.propose("ordo/c");
    pool.refuses(
        3,
        "activate",
        &["nog, ordo", "hint: netbe activate nog ordo\n"],
    );
}

#[test]
fn several_are_activated_rolled_back_and_confirmed_each_for_itself() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create ordo/a");
    pool.netbe().ok("create werda/a");
    for env in ["nog/b", "ordo/b"] {
        pool.propose(env);
    }
    let output = pool.netbe().run("activate nog nobody ordo werda/zz");
    assert_eq!(output.status, 4, "{output:#?}");
    assert_eq!(
        output.stdout,
        "Activated nog/b; nog/a was active before.\nActivated ordo/b; ordo/a was active before.\n"
    );
    assert!(
        output.stderr.contains("error: no node nobody in ")
            && output.stderr.contains("error: no environment werda/zz\n"),
        "{output:#?}"
    );
    assert_eq!(
        pool.netbe().ok("rollback --all"),
        "Activated nog/a; nog/b was active before.\nActivated ordo/a; ordo/b was active before.\n"
    );
    pool.netbe().ok("activate --all");
    assert_eq!(
        (
            pool.active("nog"),
            pool.active("ordo"),
            pool.active("werda")
        ),
        ("b".into(), "b".into(), "a".into())
    );
    pool.refuses(3, "activate --all", &["no node has an upgrade to activate"]);
    pool.refuses(3, "confirm --all", &["no node has a pending boot"]);
    pool.netbe().ok("activate --try nog/a");
    assert!(
        pool.netbe()
            .ok("confirm --all")
            .starts_with("Activated nog/a;")
    );
    let output = pool.netbe().run("rollback nog nobody");
    assert_eq!(
        (output.status, pool.active("nog").as_str()),
        (4, "b"),
        "{output:#?}"
    );
    for line in [
        "rollback",
        "confirm",
        "rollback --all nog",
        "activate --all nog",
    ] {
        assert_eq!(pool.netbe().run(line).status, 2, "{line}");
    }
}

#[test]
fn missing_nodes_and_environments_are_not_found() {
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
fn a_dry_run_refuses_or_prints_the_step() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let plan = pool.plans("activate nog/b");
    assert_eq!(plan.lines().next(), Some("would export nog/b"));
    assert!(plan.contains("nog/b instead of nog/a"), "{plan}");
    pool.refuses(4, "activate nog/zz -n", &["no environment nog/zz"]);
}

#[test]
fn invariant_2_an_environment_is_exported_before_it_becomes_active() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    // The server cannot take it over: nothing may lead to it.
    crate::support::run(std::process::Command::new("mount").args([
        "-o",
        "remount,ro",
        "/etc/exports.d",
    ]));
    let output = pool.netbe().fails(1, "activate nog/b");
    assert!(output.contains("nothing was changed"), "{output}");
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
fn a_template_need_not_boot() {
    let pool = Pool::with_template();
    pool.netbe().ok("create base/next");
    fs::remove_dir_all(pool.half("base/next", "root").join("usr/lib/modules")).unwrap();
    pool.netbe().ok("activate base/next");
    assert_eq!(pool.active("base"), "next");
}
