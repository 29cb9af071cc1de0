//! Boots for once and on trial, with the transfers and the report a real machine would make.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::machine::{Machine, PC, STRANGER, with_b, with_b_of_no_address};
use super::support::{Fingerprint, Pool, TFTP_NAME, refusal, wait_until};

#[test]
fn once_is_led_to_until_it_has_been_fetched() {
    let pool = with_b();
    let said = pool.netbe().ok("activate --once nog/b");
    assert!(
        said.contains("The next boot of nog is nog/b; after that it is nog/a again."),
        "{said}"
    );
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "b")
    );
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("NR".into(), "T".into())
    );
    for line in ["destroy -y nog/b", "rename nog/b c", "run nog/b -- true"] {
        pool.refuses(refusal(line), line, &["nog/b is to be booted once"]);
    }
    pool.fetches(&PC[..4]);
    assert_eq!(pool.led_to(), "b", "its initramfs is still to come");
    pool.fetches(&PC[4..]);
    assert_eq!(pool.led_to(), "b", "it may ask for more");
    // The last transfer started what leads it back; nobody else does here.
    wait_until("it is led back", || pool.led_to() == "a");
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("?R".into(), "?".into())
    );
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("it may run a, b; b was fetched from at"),
        "{status}"
    );
    pool.refuses(3, "destroy -y nog/b", &["nog/b was booted once"]);
    pool.reports("nog/b", "once");
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("R".into(), "N".into())
    );
    let status = pool.netbe().ok("status nog");
    assert!(status.contains("would change what it runs"), "{status}");
    pool.fetches(&PC);
    pool.netbe().ok("reconcile");
    assert_ne!(pool.pending(), "", "what is fetched ends nothing");
    pool.reports("nog/a", "back-again");
    pool.netbe().ok("reconcile");
    assert_eq!(pool.pending(), "");
    assert_eq!(pool.flags("nog/a"), "NR");
    pool.netbe().ok("destroy -y nog/b");
    pool.netbe().ok("check");
}

#[test]
fn a_trial_that_reports_becomes_permanent() {
    let pool = with_b();
    pool.reports("nog/b", "from-an-earlier-boot");
    let said = pool.netbe().ok("activate --try nog");
    assert!(
        said.contains("The next boot of nog is nog/b") && said.contains("10m"),
        "{said}"
    );
    pool.netbe().ok("reconcile");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "b")
    );
    pool.fetches(&PC);
    pool.age(20);
    let said = pool.netbe().ok("reconcile");
    assert!(said.contains("nog/b was fetched"), "{said}");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("a", "a")
    );
    pool.refuses(3, "destroy -y nog/b", &["nog/b is on trial"]);
    assert_eq!(pool.netbe().ok("reconcile"), "");
    pool.reports("nog/b", "this-boot");
    let said = pool.netbe().ok("reconcile");
    assert!(said.contains("nog/b came up: it is active."), "{said}");
    assert_eq!(
        (pool.active("nog").as_str(), pool.led_to().as_str()),
        ("b", "b")
    );
    assert_eq!(pool.pending(), "");
    assert_eq!(pool.flags("nog/b"), "NR");
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("it reported that it came up, kernel 6.1.0-50-amd64"),
        "{status}"
    );
    assert_eq!(pool.netbe().ok("reconcile"), "");
    assert!(pool.plans("destroy nog/a").contains("destroy nog/a"));
    assert!(pool.netbe().ok("rollback nog").contains("Activated nog/a"));
}

#[test]
fn a_trial_that_says_nothing_is_flagged_and_its_machine_power_cycled() {
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
    let said = pool.netbe().ok("reconcile");
    assert!(said.contains("The trial of nog/b is over"), "{said}");
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
    let said = pool.netbe().ok("reconcile");
    assert!(
        said.contains("came up in something else before it reported"),
        "{said}"
    );
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("NR".into(), "!".into())
    );
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn a_machine_that_asks_again_before_anybody_looked_is_led_back() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    pool.fetches(&PC);
    pool.age(30);
    // It was power-cycled, and its first file was b's; from the next look on it is a.
    pool.fetches(&PC[..1]);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a");
}

#[test]
fn a_node_is_led_back_also_while_it_is_upgraded() {
    let pool = with_b();
    pool.netbe().ok("activate --try nog/b");
    let mut upgrade = pool.netbe().spawn(
        "upgrade --node nog -- sleep 60",
        std::process::Stdio::null(),
    );
    wait_until("the upgrade has begun", || {
        pool.netbe().run("rename nog ordo -n").status == 5
    });
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile --wait 1");
    assert_eq!(pool.led_to(), "a");
    // It becomes permanent beside it, too.
    pool.reports("nog/b", "this-boot");
    pool.netbe().ok("reconcile --wait 1");
    assert_eq!(pool.active("nog"), "b");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(upgrade.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    upgrade.wait().unwrap();
}

#[test]
fn confirm_and_activate_end_what_is_pending() {
    let pool = with_b();
    pool.refuses(3, "confirm nog", &["nog has nothing before it"]);
    pool.netbe().ok("activate --once nog/b");
    assert!(pool.plans("confirm nog").contains("nog/b for good"));
    pool.netbe().ok("confirm nog");
    assert_eq!(
        (pool.active("nog").as_str(), pool.pending().as_str()),
        ("b", "")
    );
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
            .contains("has nothing before it")
    );
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let pool = with_b();
    pool.refuses(
        3,
        "activate --try nog/a",
        &["nog/a is what nog boots next already"],
    );
    pool.refuses(
        3,
        "activate --once base/stock",
        &["no machine can ask for base"],
    );
    pool.refuses(4, "activate --try nog/none", &["no environment nog/none"]);
    pool.refuses(2, "activate --cancel", &["--cancel wants a node"]);
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
fn a_tried_environment_starts_again_after_a_panic_also_where_nothing_was_seen_yet() {
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
fn invariant_4_what_may_run_is_not_touched_by_a_trial() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    let halves = [pool.half("nog/a", "root"), pool.half("nog/a", "boot")];
    let before = halves.each_ref().map(|half| Fingerprint::of(half));
    let said = pool.netbe().run("activate --try nog/a");
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.stderr
            .contains("nog/a may be running, so its boot files stay"),
        "{said:?}"
    );
    for (half, before) in halves.iter().zip(before) {
        before.assert_unchanged(&Fingerprint::of(half));
    }
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
            .contains("nog/gone was to be booted and is gone")
    );
    assert_eq!(
        (pool.led_to(), pool.pending()),
        ("a".to_string(), String::new())
    );
}

#[test]
fn invariant_4_what_a_machine_is_led_to_is_mounted_read_only() {
    let pool = with_b();
    pool.netbe().ok("activate --once nog/b");
    let at = pool.netbe().ok("mount nog/b");
    let error = fs::write(PathBuf::from(at.trim()).join("etc/new"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    pool.netbe().ok("umount nog/b");
}

#[test]
fn a_strangers_transfers_use_no_trial_up_where_the_address_is_known() {
    let pool = with_b();
    let told = with_power_cycle(&pool);
    pool.netbe().ok("activate --try=30s nog/b");
    pool.fetched_by(STRANGER, &PC);
    pool.fetched_by("nobody", &PC);
    pool.age(300);
    assert_eq!(pool.netbe().ok("reconcile"), "");
    assert_eq!(pool.led_to(), "b");
    assert_eq!(pool.flags("nog/a"), "NR");
    // Nor do half of them.
    pool.fetches(&PC[..3]);
    pool.age(300);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "b");
    assert!(!told.exists());
    pool.fetches(&PC[3..]);
    pool.age(20);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a");
}

#[test]
fn the_power_is_not_cut_for_what_anybody_may_have_fetched() {
    let pool = with_b_of_no_address();
    pool.reports("nog/a", "first-boot");
    let told = with_power_cycle(&pool);
    let said = pool.netbe().run("activate --try=30s nog/b");
    assert!(
        said.stderr.contains("the address of nog is not known"),
        "{said:?}"
    );
    pool.fetched_by(STRANGER, &PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a", "a stranger can have the trial over");
    pool.age(3600);
    let said = pool.netbe().run("reconcile");
    assert!(
        said.stdout.contains("The trial of nog/b is over"),
        "{said:?}"
    );
    assert!(
        said.stderr
            .contains("nog may be running another environment"),
        "{said:?}"
    );
    assert!(!told.exists());
    pool.refuses(3, "destroy -y -r nog", &["nog may be running nog/"]);
}

#[test]
fn the_power_of_what_the_nfs_server_sees_alive_elsewhere_is_not_cut() {
    for again in [false, true] {
        let pool = with_b();
        let told = with_power_cycle(&pool);
        pool.netbe().ok("activate --try=5m nog/b");
        pool.fetches(&PC);
        pool.age(20);
        pool.netbe().ok("reconcile");
        // A netbe of another node has the server forget it just before the last look.
        pool.mounts(&["nodes/nog/envs/a/root"]);
        pool.age(60);
        pool.netbe().ok("reconcile");
        if again {
            pool.mounts(&[]);
        }
        pool.age(3600);
        let said = pool.netbe().run("reconcile");
        assert!(
            said.stdout.contains("The trial of nog/b is over"),
            "{said:?}"
        );
        assert!(!told.exists(), "{said:?}");
    }
}

#[test]
fn no_later_transfer_moves_the_end_of_a_fetching() {
    let pool = with_b_of_no_address();
    pool.netbe().ok("activate --once nog/b");
    pool.fetches(&PC);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) && pool.led_to() == "b" {
        pool.fetched_by(STRANGER, &PC);
        std::thread::sleep(Duration::from_secs(1));
    }
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a");
}

/// Has the node's power cut by a command, and returns the file that this writes.
fn with_power_cycle(pool: &Pool) -> PathBuf {
    let told = pool.beside().join("told");
    let command = format!("power.cycle=echo $NETBE_NODE >>{}", told.display());
    let set = pool.netbe().run_with(&["set", &command, "nog"]);
    assert_eq!(set.status, 0, "{set:?}");
    told
}
