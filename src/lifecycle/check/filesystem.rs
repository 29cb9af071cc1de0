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
            format!("see why: dmesg | grep -i btrfs; then: mount -o remount,rw {pool}"),
        ),
        Problem::Missing(number) => (
            format!("device {number} of its filesystem is missing: what is written now is on the others alone"),
            format!("plug it in and mount again, or replace it: btrfs replace start {number} /dev/NEW {pool}"),
        ),
        Problem::Fails(number, errors) => (
            format!("device {number} of its filesystem has failed: {errors}"),
            format!("see which it is: btrfs device stats {pool}; what is damaged: btrfs scrub start -B {pool}"),
        ),
        Problem::Full(0) => (
            "its filesystem is full, or has no room for metadata".into(),
            format!("netbe list --space; netbe prune --keep 2; btrfs filesystem usage {pool}"),
        ),
        Problem::Full(free) => (
            format!("its filesystem is nearly full: {} MiB are free", free >> 20),
            format!("netbe list --space; netbe prune --keep 2; btrfs filesystem usage {pool}"),
        ),
    }
}
