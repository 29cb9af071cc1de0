//! A pool that is put back to what it was in a few hundredths of a second, for trials by the thousand.
//!
//! Its image lies in memory where it can, and what is put back is the image, so that numbers and UUIDs of subvolumes
//! are the same in every trial. What netbe writes outside the pool is put back too.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use crate::support::{Fingerprint, Pool, run};

/// Where netbe writes outside a pool; in a test these are file systems of its own.
const OUTSIDE: [&str; 5] = [
    "/etc/exports.d",
    "/etc/dnsmasq.d",
    "/etc/systemd/system",
    "/var/lib/nfs",
    "/run/netbe",
];

/// In memory: syncing costs nothing there.
const MEMORY: &str = "/dev/shm";

/// A pool, and what it was when it was made ready.
#[derive(Debug)]
pub(crate) struct Ground {
    pool: Pool,
    images: TempDir,
    before: Fingerprint,
    outside: Vec<Fingerprint>,
}

impl Ground {
    /// Takes a pool as what is put back to. What is beside it stays as it is.
    pub(crate) fn new(pool: Pool) -> Self {
        let place = Path::new(MEMORY);
        let place = if place.is_dir() { place } else { pool.beside() };
        let images = tempfile::Builder::new()
            .prefix("netbe-test-")
            .tempdir_in(place)
            .unwrap();
        let before = pool.fingerprint();
        unmount(pool.path());
        copy(
            &pool.beside().join("pool.btrfs"),
            &images.path().join("saved"),
        );
        for (number, directory) in OUTSIDE.iter().enumerate() {
            let saved = images.path().join(number.to_string());
            run(Command::new("cp")
                .arg("-a")
                .args([Path::new(directory), &saved]));
        }
        let ground = Self {
            pool,
            images,
            before,
            outside: outside(),
        };
        ground.mount();
        ground
    }

    /// Returns the pool, the same path all along.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns whether nothing has been changed, save who held a lock last.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.before.changes(&self.pool.fingerprint()).is_empty() && self.outside == outside()
    }

    /// Puts everything back.
    pub(crate) fn put_back(&self) {
        unmount(self.pool.path());
        self.mount();
        for (number, directory) in OUTSIDE.iter().enumerate() {
            let saved = self.images.path().join(number.to_string());
            if self.outside[number] == Fingerprint::of(Path::new(directory)) {
                continue;
            }
            for entry in fs::read_dir(directory).unwrap().flatten() {
                run(Command::new("rm").arg("-rf").arg(entry.path()));
            }
            run(Command::new("cp")
                .arg("-aT")
                .args([&saved, Path::new(directory)]));
        }
    }

    fn mount(&self) {
        let working = self.images.path().join("working");
        // Another file each time: the loop device of the last may be on its way out still.
        let _ = fs::remove_file(&working);
        copy(&self.images.path().join("saved"), &working);
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&working, self.pool.path()]));
    }
}

/// Unmounts a filesystem; where somebody does not leave it, that has been found, and it goes when they do.
fn unmount(path: &Path) {
    for _ in 0..100 {
        // What another thread is just forking has this one's open files until it has become another program.
        match umount2(path, MntFlags::empty()) {
            Err(Errno::EBUSY) => sleep(Duration::from_millis(5)),
            result => return result.unwrap(),
        }
    }
    umount2(path, MntFlags::MNT_DETACH).unwrap();
}

/// Copies a file that is mostly holes.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").args([from, to]));
}

fn outside() -> Vec<Fingerprint> {
    OUTSIDE
        .iter()
        .map(|directory| Fingerprint::of(Path::new(directory)))
        .collect()
}
