//! A pool that is put back to what it was in a few hundredths of a second, for trials by the thousand.
//!
//! Its image lies in memory where it can, and what is put back is the image, so that numbers and UUIDs of subvolumes
//! are the same in every trial. What netbe writes outside the pool, its state directory first of all, is put back too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use crate::looks::{Looks, State};
use crate::support::{Disk, Fingerprint, Pool, run};

/// Where netbe writes outside a pool; in a test these are file systems of its own.
const OUTSIDE: [&str; 7] = [
    "/var/lib/netbe",
    "/etc/exports.d",
    "/etc/dnsmasq.d",
    "/etc/systemd/system",
    "/var/lib/nfs",
    "/run/netbe",
    CARD,
];

/// A card of a node, a filesystem in memory.
pub(crate) const CARD: &str = "/run/netbe-card";

/// In memory: syncing costs nothing there.
const MEMORY: &str = "/dev/shm";

/// A pool, what it was when it was made, and what it is put back to.
#[derive(Debug)]
pub(crate) struct Ground {
    pool: Pool,
    images: TempDir,
    base: Saved,
    start: Saved,
    /// The disk of a node, where a command writes one; put back as the pool is.
    disk: Option<Disk>,
    looks: Looks,
}

/// Where a copy of a pool lies, and what it and what is beside it were.
#[derive(Debug, Clone)]
struct Saved {
    image: PathBuf,
    state: State,
    outside: Vec<Fingerprint>,
}

impl Ground {
    /// Takes a pool as what everything begins with. What is beside it stays as it is.
    pub(crate) fn new(pool: Pool) -> Self {
        fs::create_dir_all(CARD).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "card", CARD]));
        let place = Path::new(MEMORY);
        let place = if place.is_dir() { place } else { pool.beside() };
        let images = tempfile::Builder::new()
            .prefix("netbe-test-")
            .tempdir_in(place)
            .unwrap();
        let looks = Looks::default();
        let image = pool.beside().join("pool.btrfs");
        let base = Saved::save(&pool, &looks, &image, images.path().join("base"));
        let ground = Self {
            start: base.clone(),
            pool,
            images,
            base,
            disk: None,
            looks,
        };
        ground.mount(&ground.base);
        ground
    }

    /// Begins anew, with something done to what there was first: to that the pool is put back from now on.
    pub(crate) fn begin(&mut self, prepare: impl FnOnce(&Pool)) {
        unmount(self.pool.path());
        self.mount(&self.base);
        prepare(&self.pool);
        if let Some(disk) = &self.disk {
            disk.save(&self.images.path().join("disk"));
        }
        let start = self.images.path().join("start");
        self.start = Saved::save(&self.pool, &self.looks, &self.working(), start);
        self.mount(&self.start);
    }

    /// Has the disk of a node beside the pool, empty, or none.
    pub(crate) fn with_disk(&mut self, wanted: bool) {
        // The old one first: they have one name.
        self.disk = None;
        self.disk = wanted.then(|| Disk::formatted(self.pool.beside()));
    }

    /// Returns the pool, the same path all along.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns whether nothing has been changed, save who held a lock last.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.state().exact == self.start.state.exact
    }

    /// Returns what the pool is now, and what is outside; not what the disk of a node is.
    pub(crate) fn state(&self) -> State {
        seen(&self.looks, &self.pool)
    }

    /// Returns whether there is the disk of a node.
    pub(crate) fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Puts everything back.
    pub(crate) fn put_back(&self) {
        unmount(self.pool.path());
        self.mount(&self.start);
        if let Some(disk) = &self.disk {
            disk.put_back(&self.images.path().join("disk"));
        }
    }

    fn working(&self) -> PathBuf {
        self.images.path().join("working")
    }

    fn mount(&self, saved: &Saved) {
        let working = self.working();
        // Another file each time: the loop device of the last may be on its way out still.
        let _ = fs::remove_file(&working);
        copy(&saved.image, &working);
        run(Command::new("mount")
            .args(["-o", "loop,noatime,nosuid,nodev"])
            .args([&working, self.pool.path()]));
        for (number, directory) in OUTSIDE.iter().map(Path::new).enumerate() {
            if saved.outside[number] == Fingerprint::of(directory) {
                continue;
            }
            for entry in fs::read_dir(directory).unwrap().flatten() {
                run(Command::new("rm").arg("-rf").arg(entry.path()));
            }
            run(Command::new("cp")
                .arg("-aT")
                .args([&saved.place(number), directory]));
        }
    }
}

impl Saved {
    /// Unmounts a pool and copies its image, and what is outside.
    fn save(pool: &Pool, looks: &Looks, image: &Path, to: PathBuf) -> Self {
        let state = seen(looks, pool);
        unmount(pool.path());
        let saved = Self {
            image: to,
            state,
            outside: outside(),
        };
        copy(image, &saved.image);
        for (number, directory) in OUTSIDE.iter().map(Path::new).enumerate() {
            let place = saved.place(number);
            run(Command::new("rm").arg("-rf").arg(&place));
            run(Command::new("cp").arg("-aT").args([directory, &place]));
        }
        saved
    }

    /// Returns where a directory outside is kept.
    fn place(&self, number: usize) -> PathBuf {
        self.image.with_extension(number.to_string())
    }
}

/// Returns what a pool is, and what is outside but for its locks.
fn seen(looks: &Looks, pool: &Pool) -> State {
    let outside = OUTSIDE.iter().map(Path::new);
    let all: Vec<&Path> = [pool.path()].into_iter().chain(outside).collect();
    looks.at(&all, "locks")
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
