//! Boots for once, and when what a machine fetches ends one; with the transfers that a real machine makes.

use std::time::{Duration, Instant};

use crate::machine::{Machine, PC, STRANGER, with_b, with_b_of_no_address};
use crate::support::{refusal, wait_until};

#[test]
fn once_is_led_to_until_it_has_been_fetched() {
    let pool = with_b();
    let output = pool.netbe().ok("activate --once nog/b");
    assert!(
        output.contains("The next boot of nog is nog/b; the boot after that is nog/a."),
        "{output}"
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

#[test]
fn without_recorded_transfers_a_pending_boot_ends_by_its_time() {
    for (option, seconds, limit) in [("--once", 86_400, "24h"), ("--try=20m", 1200, "20m")] {
        let pool = with_b_of_no_address();
        let output = pool.netbe().run(&format!("activate {option} nog/b"));
        assert!(
            output
                .stderr
                .contains(&format!("this ends {limit} from now")),
            "{output:#?}"
        );
        assert_eq!(pool.led_to(), "b");
        // It sets what it was begun at a minute earlier.
        pool.age(seconds - 120);
        pool.netbe().ok("reconcile");
        assert_eq!(pool.led_to(), "b");
        pool.age(seconds - 60);
        let output = pool.netbe().ok("reconcile");
        assert!(
            output.contains("The pending boot of nog/b is over"),
            "{output}"
        );
        assert_eq!(pool.led_to(), "a");
        assert_eq!(pool.pending(), "");
        pool.netbe().ok("reconcile");
    }
    // Where they are, however long the machine is off.
    let pool = with_b();
    let output = pool.netbe().run("activate --once nog/b");
    assert!(!output.stderr.contains("from now"), "{output:#?}");
    pool.age(1_000_000);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "b");
}
