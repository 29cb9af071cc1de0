//! `check`: environments that have an initramfs in common, and one that has it no more.

use std::fs::{self, FileTimes, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Pool, kernel, run};

/// Writes into a file in its place, so that the first header of its archive tells of a very long file; its size and the time of its
/// last change are what they were, and nothing is written to the disk.
fn corrupt_archive_header(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"0fffffff", 54).unwrap();
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

#[test]
fn each_is_judged_by_its_own_bytes() {
    let pool = Pool::with_node();
    let boot = pool.half("nog/a", "boot");
    let name = fs::read_dir(&boot)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("initrd"))
        .unwrap();
    // Large enough to have blocks of its own, which they all share.
    let names: Vec<_> = (0..500).map(|n| format!("file{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let old = fs::read(boot.join(&name)).unwrap();
    fs::write(boot.join(&name), [kernel::cpio(&names), old].concat()).unwrap();
    for name in ["b", "c", "d"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    let broken = || {
        let found = pool.findings().into_iter().map(|(line, _)| line);
        let found = found.filter(|line| line.contains("ends early"));
        let mut names: Vec<_> = found
            .map(|l| l[..l.find(':').unwrap()].to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(broken(), [""; 0]);
    corrupt_archive_header(&pool.half("nog/b", "boot").join(&name));
    assert_eq!(broken(), ["nog/b"]);
    // Also once it is on the disk, and for what is made of it.
    run(Command::new("sync").arg("-f").arg(pool.path()));
    assert_eq!(broken(), ["nog/b"]);
    pool.netbe().run("create nog/e --from nog/b");
    assert_eq!(broken(), ["nog/b", "nog/e"]);
    corrupt_archive_header(&boot.join(&name));
    assert_eq!(broken(), ["nog/a", "nog/b", "nog/e"]);
}
