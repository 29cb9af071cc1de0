//! Boots on trial, with the transfers and the report that a real machine makes.

use std::fs;

use crate::machine::{Machine, PC, with_b};
use crate::support::{Fingerprint, Pool};

#[test]
fn a_trial_that_reports_becomes_permanent() {
    let pool = with_b();
    pool.reports("nog/b", "from-an-earlier-boot");
    let output = pool.netbe().ok("activate --try nog/b");
    assert!(
        output.contains("The next boot of nog is nog/b") && output.contains("10m"),
        "{output}"
    );
    pool.netbe().ok("reconcile");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "b")
    );
    pool.fetches(&PC);
    pool.age(20);
    let output = pool.netbe().ok("reconcile");
    assert!(output.contains("nog/b was fetched"), "{output}");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "a")
    );
    pool.refuses(3, "destroy -y nog/b", &["nog/b is on trial"]);
    assert_eq!(pool.netbe().ok("reconcile"), "");
    pool.reports("nog/b", "this-boot");
    let output = pool.netbe().ok("reconcile");
    assert!(
        output.contains("nog/b completed its boot: it is active."),
        "{output}"
    );
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("b", "b")
    );
    assert_eq!(pool.pending(), "");
    assert_eq!(pool.flags("nog/b"), "NR");
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("it reported a completed boot, kernel 6.1.0-50-amd64"),
        "{status}"
    );
    assert_eq!(pool.netbe().ok("reconcile"), "");
    assert!(pool.plans("destroy nog/a").contains("destroy nog/a"));
    assert!(pool.netbe().ok("rollback nog").contains("Activated nog/a"));
}

#[test]
fn a_trial_without_a_report_is_flagged_and_its_machine_power_cycled() {
    let pool = with_b();
    let told = pool.beside().join("told");
    let command = format!("echo $NETBE_NODE $NETBE_MAC $NETBE_IP >>{}", told.display());
    let set = pool
        .netbe()
        .run_with(&["set", &format!("power.cycle={command}"), "nog"]);
    assert_eq!(set.status, 0, "{set:?}");
    pool.netbe().ok("activate --try=5m nog/b");
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    pool.age(299);
    assert_eq!(pool.netbe().ok("reconcile"), "");
    pool.age(300);
    let output = pool.netbe().ok("reconcile");
    assert!(output.contains("The trial of nog/b is over"), "{output}");
    assert_eq!(
        fs::read_to_string(&told).unwrap(),
        "nog dc:a6:32:01:02:03 10.0.0.5\n"
    );
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "a")
    );
    assert_eq!(pool.flags("nog/b"), "?!");
    pool.refuses(3, "activate nog/b", &["on trial it did not report"]);
    // A second look does nothing, and calls nobody.
    assert_eq!(pool.netbe().ok("reconcile"), "");
    assert_eq!(fs::read_to_string(&told).unwrap().lines().count(), 1);
    pool.boots("nog/a", "after-the-power-cut");
    assert_eq!(pool.flags("nog/b"), "!");
    pool.netbe().ok("activate --try nog/b");
    assert_eq!(pool.flags("nog/b"), "T");
    pool.netbe().ok("activate --cancel nog");
    // It was led to, and nothing has been seen of the machine since.
    assert_eq!(
        (pool.flags("nog/b"), pool.led_to()),
        ("?".to_string(), "a".to_string())
    );
}

#[test]
fn a_trial_that_ended_in_another_boot_is_over() {
    let pool = with_b();
    pool.netbe().ok("activate --try nog/b");
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    pool.fetches(&PC);
    assert_eq!(pool.netbe().ok("reconcile"), "", "anybody may have");
    // What it reported before is no news, however often it says so.
    pool.reports("nog/a", "first-boot");
    assert_eq!(pool.netbe().ok("reconcile"), "");
    pool.reports("nog/a", "second-boot");
    let output = pool.netbe().ok("reconcile");
    assert!(
        output.contains("booted another environment before it reported"),
        "{output}"
    );
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("NR".into(), "!".into())
    );
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn a_tried_environment_starts_again_after_a_panic() {
    let pool = with_b();
    let before = Fingerprint::of(&pool.at("nodes/nog/envs/a"));
    pool.netbe().ok("activate --once nog/b");
    assert!(!pool.boot_text("nog/b").contains("panic="));
    pool.netbe().ok("activate --try nog/b");
    assert!(
        pool.boot_text("nog/b").contains(" panic=10"),
        "{}",
        pool.boot_text("nog/b")
    );
    // It is the trial's, and not handed down.
    pool.netbe().ok("create nog/c --from nog/b");
    assert!(
        !pool.boot_text("nog/c").contains("panic="),
        "{}",
        pool.boot_text("nog/c")
    );
    pool.netbe().ok("check");
    before.assert_unchanged(&Fingerprint::of(&pool.at("nodes/nog/envs/a")));
}

#[test]
fn a_trial_reboots_after_a_panic_without_evidence_of_a_boot() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --try nog/b");
    assert!(
        pool.boot_text("nog/b").contains(" panic=10"),
        "{}",
        pool.boot_text("nog/b")
    );
}

#[test]
fn invariant_4_a_trial_does_not_change_an_environment_that_may_be_running() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    let halves = [pool.half("nog/a", "root"), pool.half("nog/a", "boot")];
    let before = halves.each_ref().map(|half| Fingerprint::of(half));
    let output = pool.netbe().run("activate --try nog/a");
    assert_eq!(output.status, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("nog/a may be running, so its boot files are unchanged"),
        "{output:?}"
    );
    for (half, before) in halves.iter().zip(before) {
        before.assert_unchanged(&Fingerprint::of(half));
    }
}

#[test]
fn a_second_trial_does_not_warn_of_the_panic_argument() {
    let pool = with_b();
    let warned = "without panic=";
    let first = pool.netbe().run("activate --try nog/b");
    assert!(!first.stderr.contains(warned), "{}", first.stderr);
    let second = pool.netbe().run("activate --try nog/b");
    assert!(!second.stderr.contains(warned), "{}", second.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&pool.netbe().ok("status nog --json")).unwrap();
    assert_eq!(json["nodes"][0]["pending"], "try");
    assert_eq!(json["nodes"][0]["pending_boot"]["environment"], "b");
    let text = pool.netbe().ok("status nog --json");
    assert!(
        text.trim_start_matches(['{', '\n', ' '])
            .starts_with("\"version\""),
        "{text}"
    );
}

/// Has a command fail that writes boot files, when it has written some of them.
fn fails_half_way(pool: &Pool, line: &str) {
    let in_the_way = pool.half("nog/b", "boot").join("grub/.grub.cfg.netbe-new");
    fs::create_dir_all(in_the_way.join("x")).unwrap();
    let failed = pool.netbe().run(line);
    assert_eq!(failed.status, 1, "{failed:#?}");
    fs::remove_dir_all(&in_the_way).unwrap();
}

/// Returns whether two boot files have a word: one that is written before it fails, and one that is not.
fn have(pool: &Pool, env: &str, word: &str) -> [bool; 2] {
    ["pxelinux.cfg/default", "grub/grub.cfg"].map(|file| {
        let file = pool.half(env, "boot").join(file);
        fs::read_to_string(file).unwrap().contains(word)
    })
}

#[test]
fn a_trial_that_was_cut_short_adds_the_argument_to_all_boot_files_the_next_time() {
    let pool = with_b();
    fails_half_way(&pool, "activate --try nog/b");
    assert_eq!(have(&pool, "nog/b", " panic=10"), [true, false]);
    for _ in 0..2 {
        pool.netbe().ok("activate --try nog/b");
        assert_eq!(have(&pool, "nog/b", " panic=10"), [true, true]);
        pool.netbe().ok("activate --cancel nog");
    }
    pool.assert_sound();
}

#[test]
fn an_argument_that_came_into_a_part_of_the_boot_files_is_not_the_environments_own() {
    let pool = with_b();
    fails_half_way(&pool, "activate --try nog/b");
    pool.netbe().ok("set cmdline=quiet nog");
    fails_half_way(&pool, "set --existing nog");
    assert_eq!(have(&pool, "nog/b", " quiet"), [true, false]);
    pool.netbe().ok("set cmdline= nog");
    pool.netbe().ok("create nog/c --from nog/b");
    pool.netbe().ok("set --existing nog");
    for (env, word) in ["nog/b", "nog/c"]
        .into_iter()
        .flat_map(|env| [(env, " panic=10"), (env, " quiet")])
    {
        assert_eq!(have(&pool, env, word), [false, false], "{env}: {word}");
    }
    pool.assert_sound();
}
