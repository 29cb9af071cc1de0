//! Whose power is cut when a trial is over, and by whose transfers it is.

use std::path::PathBuf;

use crate::machine::{Machine, PC, STRANGER, with_b, with_b_of_no_address};
use crate::support::Pool;

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
fn the_power_is_not_cut_if_another_host_may_have_fetched_the_trial() {
    let pool = with_b_of_no_address();
    pool.reports("nog/a", "first-boot");
    let told = with_power_cycle(&pool);
    let output = pool.netbe().run("activate --try=30s nog/b");
    assert!(
        output.stderr.contains("the address of nog is not known"),
        "{output:?}"
    );
    pool.fetched_by(STRANGER, &PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    assert_eq!(pool.led_to(), "a", "a stranger can have the trial over");
    pool.age(3600);
    let output = pool.netbe().run("reconcile");
    assert!(
        output.stdout.contains("The trial of nog/b is over"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .contains("nog may be running another environment"),
        "{output:?}"
    );
    assert!(!told.exists());
    pool.refuses(3, "destroy -y -r nog", &["nog may be running nog/"]);
}

#[test]
fn the_power_is_not_cut_if_the_nfs_server_has_another_environment_in_use() {
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
        let output = pool.netbe().run("reconcile");
        assert!(
            output.stdout.contains("The trial of nog/b is over"),
            "{output:?}"
        );
        assert!(!told.exists(), "{output:?}");
    }
}

/// Has the node's power cut by a command, and returns the file that this writes.
fn with_power_cycle(pool: &Pool) -> PathBuf {
    let told = pool.beside().join("told");
    let command = format!("power.cycle=echo $NETBE_NODE >>{}", told.display());
    let set = pool.netbe().run_with(&["set", &command, "nog"]);
    assert_eq!(set.status, 0, "{set:?}");
    told
}
