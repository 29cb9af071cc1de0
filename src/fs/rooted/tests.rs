//! Resolution while other processes rename, and behind links.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use super::*;

#[test]
fn renames_elsewhere_do_not_keep_it_from_resolving() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("file"), "text").unwrap();
    fs::create_dir(directory.path().join("here")).unwrap();
    let tree = Tree::open(&root).unwrap();
    let done = AtomicBool::new(false);
    let (here, there) = (
        directory.path().join("here"),
        directory.path().join("there"),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(&here, &there).unwrap();
                fs::rename(&there, &here).unwrap();
            }
        });
        let read: Vec<_> = (0..5_000).map(|_| tree.read_text("etc/../file")).collect();
        done.store(true, Ordering::Relaxed);
        for text in read {
            assert_eq!(text.unwrap().as_deref(), Some("text"));
        }
    });
}

#[test]
fn a_plain_file_is_one_that_no_link_leads_to() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/file"), "text").unwrap();
    fs::write(directory.path().join("file"), "outside").unwrap();
    symlink("etc", root.join("link")).unwrap();
    symlink("file", root.join("etc/again")).unwrap();
    symlink(directory.path(), root.join("out")).unwrap();
    nix::unistd::mkfifo(&root.join("etc/pipe"), Mode::S_IRWXU).unwrap();
    let tree = Tree::open(&root).unwrap();
    let mut file = tree.plain_file(Path::new("etc/file")).unwrap().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    let long = "x".repeat(5000);
    for path in [
        "etc",
        "etc/again",
        "etc/pipe",
        "etc/none",
        "etc/file/below",
        "link/file",
        "out/file",
        "../file",
        "",
        &long,
    ] {
        let found = tree.plain_file(Path::new(path)).unwrap();
        assert!(found.is_none(), "{path}");
    }
}

#[test]
fn a_durable_write_replaces_the_target_of_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir_all(at("etc/deep")).unwrap();
    std::fs::write(at("etc/real"), "old").unwrap();
    std::os::unix::fs::symlink("../real", at("etc/deep/link")).unwrap();
    std::os::unix::fs::symlink("/etc/deep/link", at("etc/absolute")).unwrap();
    std::os::unix::fs::symlink("round", at("etc/round")).unwrap();
    std::os::unix::fs::symlink("new", at("etc/dangling")).unwrap();
    let tree = Tree::open(dir.path()).unwrap().durable();
    // A reader keeps the old content: the file is not written in place.
    let mut open = std::fs::File::open(at("etc/real")).unwrap();
    tree.write("etc/absolute", b"new").unwrap();
    let mut read = String::new();
    std::io::Read::read_to_string(&mut open, &mut read).unwrap();
    assert_eq!(read, "old");
    assert_eq!(std::fs::read_to_string(at("etc/real")).unwrap(), "new");
    assert!(at("etc/absolute").is_symlink() && at("etc/deep/link").is_symlink());
    assert!(tree.write("etc/round", b"x").is_err());
    tree.write("etc/dangling", b"made").unwrap();
    assert_eq!(std::fs::read_to_string(at("etc/new")).unwrap(), "made");
    // A link cannot lead outside: its target is resolved from the top of the tree.
    std::os::unix::fs::symlink("/../../outside", at("etc/out")).unwrap();
    tree.write("etc/out", b"x").unwrap();
    assert_eq!(std::fs::read_to_string(at("outside")).unwrap(), "x");
}

#[test]
fn a_link_in_the_place_of_a_tree_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("there")).unwrap();
    std::os::unix::fs::symlink("there", dir.path().join("root")).unwrap();
    assert!(Tree::open(&dir.path().join("there")).is_ok());
    assert!(Tree::open(&dir.path().join("root")).is_err());
}

/// A system call filter may answer for the kernel, as systemd's do.
#[test]
fn a_failed_call_does_not_mean_a_missing_file() {
    let is = |errno: Errno| super::super::path_error::is_system_error(&io::Error::from(errno));
    assert!(is(Errno::ENOSYS) && is(Errno::EPERM));
    assert!(!is(Errno::ENOENT) && !is(Errno::ELOOP));
}
