//! `rollback`, and the pointer while others look at it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Outcome, Pool, TFTP_NAME};

#[test]
fn a_second_rollback_undoes_the_first() {
    let pool = Pool::with_node();
    pool.refuses(
        3,
        "rollback nog",
        &["no previously active environment", "hint: "],
    );
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("create nog/c -a");
    assert_eq!(
        pool.netbe().ok("rollback nog"),
        "Activated nog/b; nog/c was active before.\n"
    );
    assert_eq!(
        pool.netbe().ok("rollback nog"),
        "Activated nog/c; nog/b was active before.\n"
    );
    for want in ["b", "c", "b"] {
        pool.netbe().ok("rollback nog");
        assert_eq!(pool.active("nog"), want);
    }
}

#[test]
fn rollback_goes_by_activation_not_by_age() {
    let pool = Pool::with_node();
    for name in ["b", "c", "d"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    pool.netbe().ok("activate nog/d");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "d");
}

#[test]
fn an_environment_that_would_not_boot_is_refused() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    fs::remove_dir_all(pool.half("nog/a", "root").join("usr/lib/modules")).unwrap();
    pool.refuses(3, "rollback nog", &["nog/a would not boot", "modules"]);
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn a_dry_run_names_both_environments() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b -a");
    let plan = pool.plans("rollback nog");
    assert!(plan.contains("nog/a instead of nog/b"), "{plan}");
}

#[test]
fn rollback_skips_a_destroyed_environment() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("create nog/c -a");
    pool.netbe().ok("destroy -y nog/b");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "a");
}

#[test]
fn invariant_3_a_name_resolves_at_every_instant() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let name = pool.at(&format!("tftp/{TFTP_NAME}"));
    let config = name.join("pxelinux.cfg/default");
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&config)
                    .unwrap_or_else(|e| panic!("after {looks} looks: {e}"));
                assert!(text.contains("/envs/a/root") ^ text.contains("/envs/b/root"));
                looks += 1;
            }
            looks
        });
        for env in ["b", "a", "b", "a"] {
            pool.netbe().ok(&format!("activate nog/{env}"));
        }
        pool.netbe().ok("publish");
        pool.netbe().ok("rollback nog");
        pool.netbe()
            .ok("set mac=dc:a6:32:01:02:03,dc:a6:32:01:02:04 nog");
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert!(looks > 100, "{looks}");
}

#[test]
fn an_environment_whose_record_cannot_be_read_is_left_only_by_force() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::set_permissions(
        pool.at("nodes/nog/envs/a/env.json"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    // root reads it nevertheless, but not without this.
    let netbe = |line: &str| -> Outcome {
        Command::new("setpriv")
            .arg("--bounding-set=-dac_override,-dac_read_search")
            .arg(pool.netbe().plain().get_program())
            .args(line.split_whitespace())
            .env("NETBE_POOL", pool.path())
            .output()
            .unwrap()
            .into()
    };
    for line in ["activate -n nog/b", "activate nog/b"] {
        let refused = netbe(line);
        assert_eq!(refused.status, 1, "{line}: {refused:#?}");
        for part in ["rollback would not know", "env.json", "Permission denied"] {
            assert!(refused.stderr.contains(part), "{line}: {refused:#?}");
        }
        assert_eq!(pool.active("nog"), "a", "{line}");
    }
    let forced = netbe("activate --force nog/b");
    assert_eq!(forced.status, 0, "{forced:#?}");
    assert_eq!(pool.active("nog"), "b");
}
