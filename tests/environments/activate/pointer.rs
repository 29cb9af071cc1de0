//! A node's pointer that is missing, or is something else.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::Pool;

/// Spoils `nog`'s pointer, then shows that reading works and that `activate` mends it.
fn pointer_is_mended(spoil: impl FnOnce(&std::path::Path)) {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    spoil(&link);
    let list = pool.netbe().run("list");
    assert_eq!(list.status, 0, "{list:#?}");
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert!(!pool.flags("nog/a").contains('R'));
    let status = pool.netbe().run("status nog");
    assert_eq!(status.status, 0, "{status:#?}");
    assert!(status.stderr.contains("warning: nog: "), "{status:#?}");
    let check = pool.netbe().run("check");
    assert_eq!(check.status, 1, "{check:#?}");
    assert!(check.stdout.contains("nog: "), "{check:#?}");
    for line in ["create nog/c", "clone nog nog/c", "pin nog"] {
        pool.refuses(4, line, &["nog"]);
    }
    pool.netbe().ok("activate nog/a");
    assert_eq!(pool.active("nog"), "a");
    let names: Vec<_> = fs::read_dir(pool.at("tftp"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["dc-a6-32-01-02-03"]);
    pool.assert_sound();
}

#[test]
fn a_missing_pointer_is_mended() {
    pointer_is_mended(|_| {});
}

#[test]
fn a_dangling_pointer_is_mended() {
    pointer_is_mended(|link| symlink("envs/gone", link).unwrap());
}

#[test]
fn a_looped_pointer_is_mended() {
    pointer_is_mended(|link| symlink("active", link).unwrap());
}

#[test]
fn a_pointer_out_of_the_node_is_mended() {
    pointer_is_mended(|link| symlink("../base/envs/stock", link).unwrap());
    pointer_is_mended(|link| symlink("/etc", link).unwrap());
}

#[test]
fn a_file_for_a_pointer_is_mended() {
    pointer_is_mended(|link| fs::write(link, "envs/a\n").unwrap());
}

#[test]
fn a_directory_for_a_pointer_is_mended() {
    pointer_is_mended(|link| fs::create_dir(link).unwrap());
}

#[test]
fn a_directory_with_something_in_it_is_kept_and_named() {
    let pool = Pool::with_node();
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    fs::write(link.join("precious"), "mine").unwrap();
    let output = pool.netbe().fails(1, "activate nog/a");
    assert!(output.contains("nodes/nog/active"), "{output}");
    assert_eq!(fs::read(link.join("precious")).unwrap(), b"mine");
}
