//! Foreign files beside the halves stay: no command that removes a directory deletes them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::support::Pool;

/// A node with `b` beside `a`, with these in `b`: a snapshot, a file, and a name that is not UTF-8.
fn with_foreign() -> Pool {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.subvolume("nodes/nog/envs/b/keep.1");
    pool.write("nodes/nog/envs/b/NOTES", "mine");
    let odd = pool
        .at("nodes/nog/envs/b")
        .join(OsStr::from_bytes(b"odd\xff"));
    fs::write(odd, "mine").unwrap();
    pool
}

#[test]
fn foreign_files_beside_the_halves_refuse_destroy_and_rename() {
    let pool = with_foreign();
    for line in [
        "destroy nog/b -y",
        "rename nog/b c",
        "destroy -r nog -y",
        "rename nog gon",
        "destroy -n nog/b",
        "rename -n nog/b c",
        "destroy -r -n nog",
        "rename -n nog gon",
    ] {
        pool.refuses(3, line, &["keep.1", "NOTES", "odd", "hint: "]);
    }
    let check = pool.netbe().run("check nog");
    for name in ["keep.1", "NOTES", "odd"] {
        assert!(check.stdout.contains(name), "{check:#?}");
    }
    pool.netbe().run("check --repair");
    pool.netbe().run("prune nog --keep 1");
    assert!(pool.at("nodes/nog/envs/b/keep.1").exists());
    assert_eq!(pool.read("nodes/nog/envs/b/NOTES"), "mine");
}

#[test]
fn foreign_subvolumes_in_a_nodes_directory_refuse_destroy_and_rename() {
    let pool = Pool::with_node();
    for dir in ["nodes/nog/.snapshots", "nodes/nog/envs/.snapshots"] {
        fs::create_dir(pool.at(dir)).unwrap();
        pool.subvolume(&format!("{dir}/1"));
        for line in ["destroy -r nog -y", "rename nog gon", "destroy -r -n nog"] {
            pool.refuses(3, line, &[".snapshots"]);
        }
        let check = pool.netbe().run("check nog");
        assert!(check.stdout.contains(".snapshots"), "{check:#?}");
        fs::remove_dir(pool.at(dir).join("1")).unwrap();
        fs::remove_dir(pool.at(dir)).unwrap();
    }
    pool.netbe().ok("rename nog gon");
}

#[test]
fn a_rename_keeps_the_log_of_the_upgrade() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.write("nodes/nog/envs/b/upgrade.log", "said");
    pool.netbe().ok("rename nog/b c");
    assert_eq!(pool.read("nodes/nog/envs/c/upgrade.log"), "said");
    pool.netbe().ok("rename nog gon");
    assert_eq!(pool.read("nodes/gon/envs/c/upgrade.log"), "said");
    pool.assert_sound();
}
