//! Conditions that protect an environment from `destroy`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Pool, run, unmount};

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
fn invariant_7_active_is_not_destroyed() {
    let pool = with_b(false);
    pool.refuses(
        3,
        "destroy -y nog/a",
        &[
            "nog/a is the active environment of nog",
            "hint: ",
            "netbe activate nog/",
        ],
    );
    pool.refuses(
        3,
        "destroy -y base/stock",
        &["base/stock is the active environment"],
    );
}

#[test]
fn invariant_7_booted_is_not_destroyed_by_any_flag() {
    let pool = with_b(true);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("activate nog/b");
    for line in [
        "destroy -y nog/a",
        "destroy -n nog/a",
        "destroy -y -r nog",
        "rename nog/a c",
    ] {
        pool.refuses(3, line, &["nog runs nog/a", "hint: "]);
    }
    assert_eq!(pool.netbe().run("destroy -y --force nog/a").status, 2);
    assert_eq!(pool.netbe().run("destroy -y -f nog/a").status, 2);
}

#[test]
fn invariant_6_perhaps_booted_is_booted() {
    let pool = with_b(true);
    pool.netbe().ok("activate nog/b");
    for line in ["destroy -y nog/a", "destroy -y -r nog", "rename nog/a c"] {
        pool.refuses(3, line, &["nog may be running nog/", "hint: "]);
    }
    // What no machine was ever led to is nobody's.
    pool.netbe().ok("create nog/c");
    pool.netbe().ok("destroy -y nog/c");
    // Seen in another one since: it has left this one.
    pool.saw_boot("nog", "b");
    assert_eq!(pool.flags("nog/a"), "-");
    pool.netbe().ok("destroy -y nog/a");
    pool.assert_sound();
}

#[test]
fn invariant_6_an_environment_active_since_the_last_evidence_may_be_running() {
    let pool = with_b(true);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("activate nog/a");
    for line in ["destroy -y nog/b", "rename nog/b c"] {
        pool.refuses(3, line, &["nog may be running nog/b", "hint: "]);
    }
    pool.saw_boot("nog", "a");
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_6_garbage_for_evidence_protects() {
    for garbage in [
        "",
        "\u{0}\u{0}",
        "{",
        "[]\n",
        "{\"time\":\"x\",\"env\":\"b\"}\n",
        "{\"env\":\"b\"}\n",
    ] {
        let pool = with_b(true);
        pool.netbe().ok("activate nog/b");
        pool.write("nodes/nog/boots.jsonl", garbage);
        pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    }
    let pool = with_b(true);
    pool.netbe().ok("activate nog/b");
    fs::create_dir(pool.at("nodes/nog/boots.jsonl")).unwrap();
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
}

#[test]
fn invariant_6_a_lost_record_protects() {
    let pool = with_b(true);
    pool.netbe().ok("activate nog/b");
    fs::remove_file(pool.at("nodes/nog/envs/a/env.json")).unwrap();
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    pool.write("nodes/nog/node.json", "garbage");
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    pool.refuses(3, "destroy -y -r nog", &["nog may be running nog/"]);
}

#[test]
fn invariant_7_pinned_is_not_destroyed_until_unpinned() {
    let pool = with_b(false);
    pool.netbe().ok("pin nog/b");
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["nog/b is pinned", "hint: netbe unpin nog/b"],
    );
    pool.netbe().ok("unpin nog/b");
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_7_pending_is_not_destroyed() {
    let pool = with_b(false);
    pool.netbe().ok("create nog/c");
    pool.write("nodes/nog/pending.json", r#"{"env":"b","kind":"once"}"#);
    pool.refuses(3, "destroy -y nog/b", &["nog/b is to be booted once"]);
    pool.refuses(3, "destroy -y -r nog", &["nog/b"]);
    pool.netbe().ok("destroy -y nog/c");
    // One that nobody can read could name any of them.
    pool.write("nodes/nog/pending.json", "garbage");
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["the pending boot of nog cannot be read"],
    );
}

#[test]
fn invariant_7_mounted_is_not_destroyed() {
    let pool = with_b(false);
    let at = pool.netbe().ok("mount nog/b");
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["nog/b is in use", at.trim(), "hint: netbe umount nog/b"],
    );
    pool.refuses(3, "destroy -y -r nog", &["nog/b is in use"]);
    pool.netbe().ok("umount nog/b");
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_7_an_environment_with_a_mount_inside_is_not_destroyed() {
    let pool = with_b(false);
    let inside = pool.half("nog/b", "root").join("proc");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&inside));
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["nog/b is in use", inside.to_str().unwrap()],
    );
    unmount(&inside);
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_7_mounted_in_another_namespace_is_not_destroyed() {
    let pool = with_b(false);
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mount --bind \"$0\" /mnt && echo ready && exec sleep 60")
        .arg(pool.half("nog/b", "boot"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(other.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(ready, "ready\n");
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["nog/b is in use", &other.id().to_string(), "/mnt"],
    );
    other.kill().unwrap();
    other.wait().unwrap();
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_7_a_process_inside_protects() {
    let pool = with_b(false);
    let mut inside = Command::new("sleep")
        .arg("60")
        .current_dir(pool.half("nog/b", "root").join("etc"))
        .spawn()
        .unwrap();
    pool.refuses(
        3,
        "destroy -y nog/b",
        &[
            "nog/b is in use",
            &format!("process {} (sleep)", inside.id()),
        ],
    );
    inside.kill().unwrap();
    inside.wait().unwrap();
    let open = File::open(pool.half("nog/b", "root").join("etc/hostname")).unwrap();
    pool.refuses(
        3,
        "destroy -y nog/b",
        &["nog/b is in use", &std::process::id().to_string()],
    );
    drop(open);
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn invariant_7_an_environment_that_may_be_active_is_not_destroyed() {
    let pool = Pool::with_node();
    for name in ["b", "c", "d"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    // A directory in its place: which it is, nobody knows.
    fs::create_dir(&link).unwrap();
    pool.refuses(
        3,
        "destroy -y nog/b",
        &[
            "the next boot of nog is not known",
            "is not a link",
            "hint: ",
        ],
    );
    pool.refuses(3, "prune --keep 1", &["the next boot of nog is not known"]);
    assert_eq!(pool.names("nog"), ["a", "b", "c", "d"]);
    pool.netbe().ok("activate nog/a");
    pool.netbe().ok("destroy -y nog/b");
    // Where there is none at all, none is.
    fs::remove_file(&link).unwrap();
    pool.netbe().ok("destroy -y nog/c");
}
