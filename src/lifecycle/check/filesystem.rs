//! Problems of the pool's filesystem, and the remedies.

use std::io;

use super::Finding;
use crate::btrfs::health::{self, Problem};
use crate::pool::Pool;

/// Returns the problems of the filesystem that a pool is on.
pub fn of_filesystem(pool: &Pool) -> io::Result<Vec<Finding>> {
    let finding = |problem: &Problem| {
        let (problem, remedy) = description(problem, &pool.root().display().to_string());
        Finding::new(pool.root().display(), problem, remedy)
    };
    Ok(health::problems(pool.root())?.iter().map(finding).collect())
}

fn description(problem: &Problem, pool: &str) -> (String, String) {
    match problem {
        Problem::ReadOnly => (
            "its filesystem is mounted read-only: no command can change anything, and no node can write its root".into(),
            format!("dmesg | grep -i btrfs; mount -o remount,rw {pool}"),
        ),
        Problem::Missing(number) => (
            format!(
                "device {number} of its filesystem is missing: what is written now is on the others alone; plug it in and mount \
                 again, or have another take its place: btrfs replace start {number} DEVICE {pool}"
            ),
            format!("btrfs filesystem show {pool}"),
        ),
        Problem::Fails(number, errors) => (
            format!("device {number} of its filesystem has failed: {errors}"),
            format!("btrfs device stats {pool}; btrfs scrub start -B {pool}"),
        ),
        Problem::Full(0) => (
            "its filesystem is full, or has no room for metadata".into(),
            format!("btrfs filesystem usage {pool}; netbe list --space; netbe prune --keep 2"),
        ),
        Problem::Full(free) => (
            format!("its filesystem is nearly full: {} MiB are free", free >> 20),
            format!("btrfs filesystem usage {pool}; netbe list --space; netbe prune --keep 2"),
        ),
    }
}
