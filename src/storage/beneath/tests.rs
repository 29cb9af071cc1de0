//! Resolving while the machine is busy.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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
