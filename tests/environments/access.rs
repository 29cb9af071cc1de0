//! Read-only roots: `access=ro`, for one machine or many.

use std::fs;

use crate::machine::Machine;
use crate::support::{MAC, Pool, System};

const OTHER: &str = "dc:a6:32:01:02:04";
const PROGRAM: &str = "usr/lib/netbe/read-only-root";

/// A Debian with what a read-only root needs.
fn debian() -> System {
    let mut system = System::debian();
    for program in ["mount", "pivot_root", "chroot", "md5sum", "sed"] {
        system = system.file(&format!("usr/sbin/{program}"), "x");
    }
    let overlay = format!(
        "usr/lib/modules/{}/kernel/fs/overlayfs/overlay.ko",
        system.version()
    );
    system.file(&overlay, "x")
}

/// A node that two machines boot read-only; `web/a` is active.
fn with_web() -> Pool {
    let pool = Pool::with_template_of(&debian());
    pool.netbe()
        .ok(&format!("create web/a --mac {MAC} --mac {OTHER}"));
    pool.netbe().ok("set access=ro --existing web");
    pool
}

fn exports_of(pool: &Pool, env: &str) -> Vec<String> {
    let text = pool.read("publish/exports");
    let its = text
        .lines()
        .filter(|line| line.contains(&format!("/envs/{env}/")));
    its.map(str::to_string).collect()
}

#[test]
fn machines_mount_the_root_read_only_and_start_by_what_keeps_writes_in_memory() {
    let pool = with_web();
    let line = pool.boot_text("web/a");
    assert!(
        line.contains(" ro ip=dhcp") && !line.contains(" rw"),
        "{line}"
    );
    assert!(
        line.contains(&format!("init=/{PROGRAM}")) && line.contains("vers=3"),
        "{line}"
    );
    let fstab = fs::read_to_string(pool.half("web/a", "root").join("etc/fstab")).unwrap();
    assert!(fstab.contains("/boot nfs ro,vers=4.2,"), "{fstab}");
    for line in exports_of(&pool, "a") {
        assert!(
            line.contains("(ro,sync,") && !line.contains("(rw,"),
            "{line}"
        );
    }
    let hosts = pool.read("publish/dnsmasq-hosts/web");
    assert!(
        hosts.contains(",web-010203\n") && hosts.contains(",web-010204\n"),
        "{hosts}"
    );
    pool.assert_sound();

    // What is made of it is so too, and what is taken back is as it was.
    pool.netbe().ok("create web/b");
    assert!(
        exports_of(&pool, "b")
            .iter()
            .all(|line| line.contains("(ro,"))
    );
    let before = pool.boot_text("web/b");
    pool.netbe().ok("set --existing web");
    assert_eq!(pool.boot_text("web/b"), before);
    pool.netbe().ok("set access= --existing web");
    for env in ["a", "b"] {
        let line = pool.boot_text(&format!("web/{env}"));
        assert!(
            line.contains(" rw ip=dhcp") && !line.contains("init="),
            "{line}"
        );
        let root = pool.half(&format!("web/{env}"), "root");
        assert!(!root.join(PROGRAM).exists());
        let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
        assert!(fstab.contains("/boot nfs defaults,"), "{fstab}");
        assert!(
            exports_of(&pool, env)
                .iter()
                .all(|line| line.contains("(rw,"))
        );
    }
    pool.assert_sound();
}

#[test]
fn what_a_read_only_root_rules_out_is_refused() {
    let pool = with_web();
    for (line, words) in [
        (
            "set nfs.version=4.2 web",
            &["version 4.2", "nfs.version=3 access=ro web"][..],
        ),
        (
            "set root=LABEL=disk web --force",
            &["a disk of its own", "root=nfs access=ro web"],
        ),
        (
            "set ip=10.0.0.5/24 web",
            &["several machines boot web", "ip=dhcp web"],
        ),
        (
            "set data=/home web",
            &["one machine writes", "data=none web"],
        ),
        ("set data=/home", &["one machine writes", "data=none web"]),
    ] {
        pool.refuses(3, line, words);
    }
    // One machine may have data, and an address.
    pool.netbe().ok(&format!("set mac={MAC} web"));
    pool.netbe().ok("set ip=10.0.0.5/24 web");
}

#[test]
fn a_root_that_lacks_what_it_needs_is_not_booted_read_only() {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create web/a --mac {MAC}"));
    pool.netbe().ok("set access=ro web");
    pool.refuses(
        3,
        "create web/b -a",
        &["has no pivot_root, chroot", "no overlay filesystem"],
    );
    let failed = pool.netbe().run("set --existing web");
    assert_eq!(failed.status, 3, "{failed:#?}");
    assert!(
        exports_of(&pool, "a")
            .iter()
            .all(|line| line.contains("(rw,"))
    );
    assert!(pool.boot_text("web/a").contains(" rw "));
}

#[test]
fn what_a_machine_runs_is_not_made_read_only_under_it() {
    let pool = Pool::with_template_of(&debian());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.boots("nog/a", "this-boot");
    let failed = pool.netbe().run("set access=ro --existing nog");
    assert_eq!(failed.status, 3, "{failed:#?}");
    assert!(
        failed
            .stderr
            .contains("nog runs nog/a, and could not write"),
        "{failed:#?}"
    );
    assert!(
        exports_of(&pool, "a")
            .iter()
            .all(|line| line.contains("(rw,"))
    );
    pool.assert_sound();
    // Another one is; and the node goes back to the one that it wrote to, while it is one machine.
    pool.netbe().ok("create nog/b -a");
    assert!(
        exports_of(&pool, "b")
            .iter()
            .all(|line| line.contains("(ro,"))
    );
    pool.assert_sound();
    pool.netbe().ok("rollback nog");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok(&format!("set mac={MAC},{OTHER} nog"));
    pool.refuses(
        3,
        "rollback nog",
        &["several machines would write to one root"],
    );
}

#[test]
fn several_machines_have_no_boot_for_once() {
    let pool = with_web();
    pool.netbe().ok("create web/b");
    for line in [
        "activate --once web/b",
        "activate --try web/b",
        "create web/c --once",
    ] {
        pool.refuses(3, line, &["several machines boot web"]);
    }
    pool.netbe().ok(&format!("set mac={MAC} web"));
    pool.netbe().ok("activate --once web/b");
}
