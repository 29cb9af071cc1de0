//! What ails the pool's filesystem, and what to do about it.

use std::io;

use super::Finding;
use crate::btrfs::health::{self, Ailment};
use crate::pool::Pool;

/// Returns what ails the filesystem that a pool lies on.
pub fn of_filesystem(pool: &Pool) -> io::Result<Vec<Finding>> {
    let finding = |ailment: &Ailment| {
        let (problem, remedy) = told(ailment, &pool.root().display().to_string());
        Finding::new(pool.root().display(), problem, remedy)
    };
    Ok(health::ailments(pool.root())?.iter().map(finding).collect())
}

fn told(ailment: &Ailment, pool: &str) -> (String, String) {
    match ailment {
        Ailment::ReadOnly => (
            "its filesystem is mounted read-only: no command can change anything, and no node can write its root".into(),
            format!("see why: dmesg | grep -i btrfs; then: mount -o remount,rw {pool}"),
        ),
        Ailment::Missing(number) => (
            format!("device {number} of its filesystem is missing: what is written now is on the others alone"),
            format!("plug it in and mount again, or replace it: btrfs replace start {number} /dev/NEW {pool}"),
        ),
        Ailment::Fails(number, errors) => (
            format!("device {number} of its filesystem has failed: {errors}"),
            format!("see which it is: btrfs device stats {pool}; what is damaged: btrfs scrub start -B {pool}"),
        ),
        Ailment::Full(0) => (
            "its filesystem is full, or has no room for metadata".into(),
            format!("netbe list --space; netbe prune --keep 2; btrfs filesystem usage {pool}"),
        ),
        Ailment::Full(free) => (
            format!("its filesystem is nearly full: {} MiB are free", free >> 20),
            format!("netbe list --space; netbe prune --keep 2; btrfs filesystem usage {pool}"),
        ),
    }
}
