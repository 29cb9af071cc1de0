//! How the NFS server takes over what it is offered, and what it forgot or lost.

use std::fs;
use std::process::Command;

use super::exports::{INSTALLED, halves, taken_over};
use crate::support::{Pool, output, run};

#[test]
fn messages_of_exportfs_are_passed_on() {
    let pool = Pool::with_served_node();
    let root = pool.half("nog/a", "root");
    // Read before netbe's.
    fs::write(
        "/etc/exports.d/mine.exports",
        format!(
            "{} 192.0.2.1(ro,no_subtree_check)\n/srv/gone 192.0.2.9(ro,no_subtree_check)\n",
            root.display()
        ),
    )
    .unwrap();
    // All anew, which reads every file.
    run(Command::new("exportfs").arg("-ua"));
    let output = pool.netbe().run("create nog/b -a");
    assert_eq!(output.status, 0, "{output:#?}");
    for words in [
        "warning: exportfs: incompatible duplicated export entries:",
        &format!("192.0.2.1:{} (0x", root.display()),
        "warning: exportfs: Failed to stat /srv/gone: No such file or directory",
    ] {
        assert!(output.stderr.contains(words), "{words}: {output:#?}");
    }
}

#[test]
fn publish_restores_lost_files() {
    let pool = Pool::with_served_node();
    let text = pool.read("publish/exports");
    fs::remove_file(INSTALLED).unwrap();
    fs::remove_file(pool.at("publish/exports")).unwrap();
    let plan = pool.plans("publish");
    assert!(plan.contains("would run exportfs -ra\n"), "{plan}");
    pool.netbe().ok("publish");
    assert_eq!(pool.read("publish/exports"), text);
    assert_eq!(fs::read_to_string(INSTALLED).unwrap(), text);
    assert_eq!(
        pool.netbe().ok("publish"),
        "Everything is published already.\n"
    );
}

#[test]
fn publish_restores_lost_exports() {
    let pool = Pool::with_served_node();
    // As after a reboot of a machine whose /var was restored, or somebody's `exportfs -ua`.
    run(Command::new("exportfs").arg("-ua"));
    assert!(taken_over().is_empty());
    let found = pool.netbe().run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    pool.netbe().ok("publish");
    assert_eq!(taken_over(), halves(&pool, &["nog/a"]));
    pool.assert_sound();
}

#[test]
fn invariant_2_one_change_is_exported_alone_and_at_once() {
    let pool = Pool::with_served_node();
    let mine = pool.beside().join("mine");
    fs::create_dir(&mine).unwrap();
    // Read by whatever exports all anew.
    fs::write(
        "/etc/exports.d/mine.exports",
        format!("{} 192.0.2.9(ro,no_subtree_check)\n", mine.display()),
    )
    .unwrap();
    pool.netbe().ok("create nog/b");
    let plan = pool.plans("activate nog/b");
    assert!(!plan.contains("exportfs -ra"), "{plan}");
    pool.netbe().ok("activate nog/b");
    assert_eq!(taken_over(), halves(&pool, &["nog/a", "nog/b"]));
    pool.saw_boot("nog", "b");
    pool.netbe().ok("destroy -y nog/a");
    assert_eq!(taken_over(), halves(&pool, &["nog/b"]));
    let shown = String::from_utf8(output(Command::new("exportfs").arg("-s"))).unwrap();
    // As the server has it after a restart, but for what is not netbe's.
    fs::remove_file("/etc/exports.d/mine.exports").unwrap();
    run(Command::new("exportfs").arg("-ra"));
    let again = String::from_utf8(output(Command::new("exportfs").arg("-s"))).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&shown), sorted(&again));
    pool.assert_sound();
}

#[test]
fn a_call_that_fails_is_made_good_by_one_for_all() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    pool.saw_boot("nog", "b");
    // The server does not know a client that netbe's file has: it cannot be withdrawn.
    let server = "192.0.2.1:".to_string();
    let root = server + &pool.half("nog/a", "root").display().to_string();
    run(Command::new("exportfs").args(["-u", &root]));
    let mine = format!("198.51.100.1:{}", pool.half("nog/a", "root").display());
    run(Command::new("exportfs").args(["-i", "-o", "ro,no_subtree_check", &mine]));
    pool.netbe().ok("destroy -y nog/a");
    assert_eq!(taken_over(), halves(&pool, &["nog/b"]));
}
