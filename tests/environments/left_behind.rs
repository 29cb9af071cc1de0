//! Files that a node wrote in the environment it runs, and that the one it boots next does not have, are named.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use crate::support::Pool;

/// What a node may write at any time.
fn write(pool: &Pool, environment: &str, path: &str, size: usize) {
    let path = pool.half(environment, "root").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![b'x'; size]).unwrap();
}

#[test]
fn invariant_14_activate_names_files_written_since_the_other_environment_was_made() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "etc/before", 10);
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", "var/lib/app/data", 3 << 20);
    write(&pool, "nog/a", "etc/new.conf", 10);
    fs::remove_file(pool.half("nog/a", "root").join("etc/before")).unwrap();
    for passing in [
        "var/log/syslog",
        "var/cache/x/y",
        "tmp/z",
        "home/u/.cache/w",
    ] {
        write(&pool, "nog/a", passing, 100);
    }
    let told = "nog/a after nog/b was made";
    let plan = pool.plans("activate nog/b");
    assert!(
        plan.contains("leave 3 files (3.0 MiB) in nog/a that nog wrote there after nog/b was made: /var/lib/app 3.0 MiB, /etc 2 files 10 B"),
        "{plan}"
    );
    let done = pool.netbe().run("activate nog/b");
    assert!(done.stderr.contains(told), "{}", done.stderr);
    assert!(
        done.stderr.contains("netbe merge nog/a nog/b"),
        "{}",
        done.stderr
    );
    pool.netbe().ok("diff --files nog/b nog/a");
    // It is there still, and goes on being told while the node has not left it.
    let status = pool.netbe().ok("status nog");
    assert!(
        status.contains("behind   3 files (3.0 MiB) in a that b does not have: /var/lib/app"),
        "{status}"
    );
    let all = pool.netbe().run("status");
    assert!(all.stderr.contains(told), "{}", all.stderr);
    let json: serde_json::Value = serde_json::from_str(&pool.netbe().ok("status --json")).unwrap();
    let behind = &json["nodes"][1]["left_behind"][0];
    assert_eq!(behind["files"], 3, "{json}");
    assert_eq!(behind["bytes"], (3 << 20) + 10);
    assert_eq!(behind["places"][0]["path"], "/var/lib/app");
}

#[test]
fn invariant_14_rollback_names_files_written_since_the_activation_only() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    // As an upgrade does.
    write(&pool, "nog/b", "usr/bin/tool", 5000);
    pool.netbe().ok("activate nog/b");
    write(&pool, "nog/b", "srv/www/index.html", 700);
    let done = pool.netbe().run("rollback nog");
    assert!(
        done.stderr.contains(
            "nog wrote 1 file (700 B) in nog/b since it was first activated, and nog/a does not have them: /srv/www 700 B"
        ),
        "{}",
        done.stderr
    );
}

#[test]
fn a_trial_names_files_left_behind() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", "etc/new.conf", 10);
    for how in ["--once", "--try"] {
        let done = pool.netbe().run(&format!("activate nog/b {how}"));
        assert!(
            done.stderr
                .contains("nog wrote 1 file (10 B) in nog/a after nog/b was made"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn boot_files_written_for_a_trial_are_not_left_behind() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --try nog/b");
    assert!(pool.boot_text("nog/b").contains("panic="));
    pool.netbe().ok("activate nog --cancel");
    pool.netbe().ok("activate nog/b");
    let done = pool.netbe().run("rollback nog");
    assert!(!done.stderr.contains("wrote"), "{done:#?}");
    pool.netbe().ok("activate nog/b");
    write(&pool, "nog/b", "etc/app.conf", 10);
    let done = pool.netbe().run("rollback nog");
    assert!(done.stderr.contains("wrote 1 file (10 B)"), "{done:#?}");
}

#[test]
fn unchanged_content_with_new_times_is_not_left_behind() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "etc/same", 10);
    write(&pool, "nog/a", "srv/large", 70_000);
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/b", "srv/large", 80_000);
    write(&pool, "nog/a", "etc/same", 10);
    let large = pool.half("nog/a", "root").join("srv/large");
    let file = fs::File::options().append(true).open(&large).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    fs::read(&large).unwrap();
    let done = pool.netbe().run("activate nog/b");
    assert!(!done.stderr.contains("wrote"), "{}", done.stderr);
}

#[test]
fn activating_the_active_environment_leaves_no_files_behind() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "etc/new.conf", 10);
    let done = pool.netbe().run("activate nog/a");
    assert!(!done.stderr.contains("wrote"), "{}", done.stderr);
    let status = pool.netbe().ok("status nog");
    assert!(!status.contains("behind"), "{status}");
}

#[test]
fn invariant_10_names_that_a_node_chose_break_neither_status_nor_its_lines() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let home = pool.half("nog/a", "root").join("home");
    for name in [&b"not\xfftext"[..], b"two\nlines", b"esc\x1b[2J"] {
        let directory = home.join(OsStr::from_bytes(name));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), "x").unwrap();
    }
    pool.netbe().ok("activate nog/b");
    let json: serde_json::Value = serde_json::from_str(&pool.netbe().ok("status --json")).unwrap();
    assert_eq!(json["nodes"][1]["left_behind"][0]["files"], 3, "{json}");
    let status = pool.netbe().ok("status nog");
    assert!(status.contains("/home/two?lines"), "{status}");
    assert!(!status.contains('\x1b'), "{status:?}");
}
