//! A server's pool and records, brought back on another machine, and a pool that grows: by the lines of docs/server.md, as they stand.
//!
//! Not for exports and imports of single environments.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Pool, mounts, run};

/// Returns the lines of a command block: the one that begins with this line.
fn block(first: &str) -> Vec<String> {
    let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/server.md");
    let text = fs::read_to_string(chapter).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != first);
    let lines = lines.take_while(|line| line.starts_with("    "));
    let found: Vec<String> = lines.map(|line| line.trim().to_string()).collect();
    assert!(!found.is_empty(), "docs/server.md has no line {first:?}");
    found
}

/// Runs a block as a person would, for a pool elsewhere than in /srv, without what is netbe's own to test elsewhere.
fn type_in(pool: &Pool, first: &str) {
    let backup = pool.beside().join("backup");
    let place = pool.path().display().to_string();
    for line in block(first) {
        if line.starts_with("netbe init") {
            continue;
        }
        let line = line
            .replace("/mnt/backup", &backup.display().to_string())
            .replace("/srv/netbe", &place);
        match line.strip_prefix("netbe ") {
            Some(words) => {
                pool.netbe().ok(words);
            }
            None => run(Command::new("sh").args(["-ec", &line])),
        }
    }
}

#[test]
fn a_whole_server_comes_back_on_another_machine() {
    let pool = Pool::with_node();
    let netbe = pool.netbe();
    let root = pool.half("nog/a", "root");
    fs::create_dir_all(root.join("usr/sbin")).unwrap();
    fs::write(root.join("usr/sbin/mount.nfs"), "").unwrap();
    fs::write(root.join("etc/mine"), "mine").unwrap();
    for line in [
        "set mac=dc:a6:32:01:02:03 data=/home nog",
        "set ip=10.0.0.21/24 keep=3 nog",
        "create nog/b -d words",
        "pin nog/a",
        "activate --once nog/b",
    ] {
        netbe.ok(line);
    }
    let looks = || ["list --json", "get -H", "status --json", "check"].map(|line| netbe.ok(line));
    let before = looks();
    fs::create_dir(pool.beside().join("backup")).unwrap();
    type_in(&pool, "fsfreeze --freeze /srv/netbe");
    // What came after the backup is not in it.
    netbe.ok("create nog/later");

    // The other machine has nothing of the first.
    run(Command::new("umount").arg(pool.path()));
    fs::remove_file(pool.beside().join("pool.btrfs")).unwrap();
    fs::remove_dir(pool.path()).unwrap();
    for entry in fs::read_dir(pool.states()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    type_in(
        &pool,
        "cp --sparse=always /mnt/backup/netbe.btrfs /srv/netbe.btrfs",
    );
    for (now, before) in looks().iter().zip(&before) {
        assert_eq!(now, before);
    }
    assert_eq!(fs::read_to_string(root.join("etc/mine")).unwrap(), "mine");
    netbe.ok("activate --cancel nog/b");
    netbe.ok("create nog/c -a");
    netbe.ok("check");
}

#[test]
fn a_pool_in_a_file_grows_while_it_is_in_use() {
    let pool = Pool::with_node();
    let size = || nix::sys::statvfs::statvfs(pool.path()).unwrap().blocks();
    let (before, mounted) = (size(), mounts());
    let open = fs::File::create(pool.half("nog/a", "root").join("etc/open")).unwrap();
    type_in(&pool, "truncate --size=128G /srv/netbe.btrfs");
    assert!(size() > before, "{} of {before}", size());
    drop(open);
    assert_eq!(mounts(), mounted);
    pool.netbe().ok("check");
}
