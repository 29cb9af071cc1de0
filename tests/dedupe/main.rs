//! `dedupe`: what is the same shares its space, and nothing else changes.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod nodes;
mod plan;
mod shared;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Fingerprint, Pool, output, run};

const MIB: usize = 1 << 20;

/// Returns a pool with nodes n1, n2, … of one template; each has the environment `a`.
fn pool(nodes: usize) -> Pool {
    let pool = Pool::with_template();
    for number in 1..=nodes {
        pool.netbe().ok(&format!("create n{number}/a"));
    }
    pool
}

fn data(pool: &Pool, node: &str) -> PathBuf {
    let data = pool.half(&format!("{node}/a"), "root").join("data");
    fs::create_dir_all(&data).unwrap();
    data
}

/// Returns every time of every file below a directory.
fn times(directory: &Path) -> Vec<(PathBuf, [i64; 6])> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            all.extend(times(&path));
        }
        let times = [
            (meta.atime(), meta.atime_nsec()),
            (meta.mtime(), meta.mtime_nsec()),
            (meta.ctime(), meta.ctime_nsec()),
        ];
        let [(a, b), (c, d), (e, f)] = times;
        all.push((path, [a, b, c, d, e, f]));
    }
    all.sort();
    all
}

/// Runs it, and makes sure that nothing changed but where on disk things lie.
fn dedupe(pool: &Pool, line: &str) -> String {
    let nodes = pool.at("nodes");
    // In this order: taking a fingerprint reads.
    let content = Fingerprint::of(&nodes);
    let before = times(&nodes);
    let output = pool.netbe().ok(line);
    assert_eq!(before, times(&nodes));
    content.assert_unchanged(&Fingerprint::of(&nodes));
    pool.assert_sound();
    output
}

/// Returns how many bytes of the pool's filesystem are used.
fn used(pool: &Pool) -> u64 {
    // What was deleted goes in the background, which a sync wakes.
    let sync = ["filesystem", "sync"];
    for command in [sync, ["subvolume", "sync"], sync] {
        run(Command::new("btrfs").args(command).arg(pool.path()));
    }
    let said = output(
        Command::new("btrfs")
            .args(["filesystem", "usage", "-b"])
            .arg(pool.path()),
    );
    let said = String::from_utf8(said).unwrap();
    let used = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Used:"));
    used.unwrap().trim().parse().unwrap()
}
