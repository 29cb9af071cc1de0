//! `destroy`: what protects an environment, and what does not.

mod protection;

use std::fs::{self};

use crate::support::Pool;

/// Returns a pool in which `nog` has `a`, active, and `b`; it is served where that is asked for.
fn with_b(served: bool) -> Pool {
    let pool = match served {
        true => Pool::with_served_node(),
        false => Pool::with_node(),
    };
    pool.netbe().ok("create nog/b");
    pool
}

#[test]
fn both_halves_of_an_environment_are_destroyed() {
    let pool = with_b(false);
    pool.netbe().ok("create nog/c");
    assert_eq!(
        pool.netbe().ok("destroy -y nog/b nog/c"),
        "Destroyed nog/b, nog/c.\n"
    );
    assert_eq!(pool.names("nog"), ["a"]);
    assert_eq!(pool.subvolumes().len(), 4, "{:?}", pool.subvolumes());
    pool.assert_sound();
    pool.netbe().ok("create nog/b");
    assert_eq!(pool.netbe().ok("rm nog/b --yes"), "Destroyed nog/b.\n");
    pool.netbe().ok("create nog/b");
    assert_eq!(
        pool.netbe().ok("destroy -y nog/b nog/b"),
        "Destroyed nog/b.\n"
    );
}

#[test]
fn without_a_terminal_the_answer_is_no() {
    let pool = with_b(false);
    pool.refuses(
        3,
        "destroy nog/b",
        &[
            "nothing was destroyed",
            "not a terminal",
            "; -y destroys without asking",
        ],
    );
    let before = pool.fingerprint();
    let output = pool
        .netbe()
        .command()
        .args(["destroy", "nog/b"])
        .write_stdin("y\n")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    before.assert_unchanged(&pool.fingerprint());
    // A refusal goes before the question.
    pool.refuses(
        3,
        "destroy nog/a",
        &["nog/a is the active environment of nog"],
    );
}

#[test]
fn a_dry_run_prints_the_steps() {
    let pool = with_b(false);
    let steps = |line: &str| {
        let plan = pool.plans(line);
        let (steps, freed) = plan.split_once("would free ").expect("it prints the space");
        assert_eq!(freed.lines().count(), 1, "{plan}");
        steps.to_string()
    };
    assert_eq!(steps("destroy nog/b"), "would destroy nog/b\n");
    assert_eq!(
        steps("destroy -r nog"),
        "would destroy nog/a\nwould destroy nog/b\nwould destroy node nog\n"
    );
    pool.refuses(3, "destroy -n nog/a", &["active environment"]);
}

#[test]
fn wrong_operands_are_refused() {
    let pool = with_b(false);
    pool.refuses(
        2,
        "destroy -y nog",
        &["names a node", "hint: ", "netbe destroy -r nog"],
    );
    pool.refuses(
        2,
        "destroy -y -r nog/b",
        &["-r destroys nodes", "hint: netbe destroy nog/b"],
    );
    pool.refuses(4, "destroy -y nog/zz", &["no environment nog/zz"]);
    pool.refuses(4, "destroy -y ordo/a", &["no node ordo"]);
    pool.refuses(4, "destroy -y -r ordo", &["no node ordo"]);
    assert_eq!(pool.netbe().run("destroy").status, 2);
    assert!(!pool.at("locks/ordo").exists());
}

#[test]
fn a_refused_environment_does_not_stop_the_others() {
    let pool = with_b(false);
    for env in ["nog/c", "nog/d", "ordo/x"] {
        pool.netbe().ok(&format!("create {env}"));
    }
    pool.netbe().ok("pin nog/c");
    let line = "destroy nog/c nog/b nog/zz ordo/x nog/d";
    let planned = pool.netbe().run(&format!("{line} -n"));
    assert_eq!(planned.status, 4, "{planned:#?}");
    assert!(
        planned
            .stdout
            .starts_with("would destroy nog/b\nwould destroy nog/d\nwould free "),
        "{planned:#?}"
    );
    let output = pool.netbe().run(&format!("{line} -y"));
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (4, "Destroyed nog/b, nog/d.\n"),
        "{output:#?}"
    );
    for why in [
        "error: nog/c is pinned\nhint: netbe unpin nog/c\n",
        "error: no environment nog/zz\n",
        "error: ordo/x is the active environment of ordo\n",
    ] {
        assert!(output.stderr.contains(why), "{output:#?}");
    }
    assert_eq!(pool.names("nog"), ["a", "c"]);
    // What is not meant at all is done for none.
    pool.refuses(2, "destroy -y nog/c nog", &["nog names a node"]);
    pool.refuses(3, "destroy -y nog/a nog/c", &["nog/c is pinned"]);
    let output = pool.netbe().run("destroy -y -r werda ordo");
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (4, "Destroyed ordo.\n"),
        "{output:#?}"
    );
    pool.assert_sound();
}

#[test]
fn a_whole_node_goes_with_its_names_and_exports() {
    let pool = with_b(true);
    pool.netbe().ok("pin nog/b");
    pool.refuses(3, "destroy -y -r nog", &["nog may be running nog/a"]);
    let output = pool.netbe().run("set mac= nog");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(output.stderr.contains("loses its root"), "{output:#?}");
    // Active and pinned are no reason when the node is not booted.
    assert_eq!(pool.netbe().ok("destroy -y -r nog"), "Destroyed nog.\n");
    assert!(!pool.at("nodes/nog").exists());
    assert!(fs::read_dir(pool.at("tftp")).unwrap().next().is_none());
    assert!(!pool.read("publish/exports").contains("/nodes/nog/"));
    assert_eq!(pool.subvolumes().len(), 2, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn a_damaged_environment_can_be_destroyed() {
    let pool = with_b(false);
    fs::create_dir_all(pool.at("nodes/nog/envs/junk/root/deep")).unwrap();
    fs::write(pool.at("nodes/nog/envs/junk/root/deep/file"), "x").unwrap();
    fs::remove_file(pool.at("nodes/nog/envs/b/env.json")).unwrap();
    assert_eq!(pool.flags("nog/junk"), "!");
    pool.netbe().ok("destroy -y nog/junk nog/b");
    assert_eq!(pool.names("nog"), ["a"]);
    pool.assert_sound();
}
