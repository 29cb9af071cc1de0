//! Input that is written to a disk: archives, FAT and ext filesystems unpacked, and transfers recorded in a pool.
//!
//! All of it in memory, in a mount namespace of the test's own. Here is that ground, and what a case may leave on it.

mod archive;
mod ext;
mod fat;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use super::Target;
use crate::support::Pool;
pub(super) use archive::{archive, long};

/// Where the cases of this room unpack, and the pool they write into.
static GROUND: OnceLock<Ground> = OnceLock::new();
static DIRECTORIES: AtomicU64 = AtomicU64::new(0);

struct Ground {
    /// Keeps the filesystem until the program ends.
    pool: Pool,
    memory: PathBuf,
}

/// Makes the ground on which all threads that this one starts stand.
pub(super) fn prepare() {
    GROUND.get_or_init(|| {
        let pool = Pool::with_served_node();
        let memory = pool.beside().join("memory");
        fs::create_dir(&memory).expect("one's own directory is writable");
        mount(
            Some("tmpfs"),
            &memory,
            Some("tmpfs"),
            MsFlags::MS_NODEV,
            Some("size=256m"),
        )
        .expect("root may mount");
        Ground { pool, memory }
    });
}

fn ground() -> &'static Ground {
    GROUND.get().expect("it was prepared")
}

pub(super) fn targets() -> Vec<Target> {
    let of = |name, short, fixed: usize, seeds, make| Target {
        name,
        seeds,
        short,
        memory: (fixed, 200),
        time: Duration::from_millis(300),
        make,
    };
    vec![
        of("tar", 3_000, 1 << 20, archive::archives(), || {
            Box::new(archive::unpack())
        }),
        of("fat", 3_000, 4 << 20, fat::fats(), || {
            Box::new(fat::copy_fat())
        }),
        of("ext", 3_000, 16 << 20, ext::filesystems(), || {
            Box::new(ext::copy_ext())
        }),
        of("transfer", 3_000, 4 << 20, transfer::transfers(), || {
            Box::new(transfer::note())
        }),
    ]
}

/// A directory that has to be empty again after each case, beside a file that must never change.
struct Place {
    directory: PathBuf,
    canary: PathBuf,
}

/// Makes a directory in memory for one thread.
pub(super) fn directory() -> PathBuf {
    let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    let path = ground().memory.join(number.to_string());
    fs::create_dir(&path).expect("there is room");
    path
}

impl Place {
    fn new() -> Self {
        let above = directory();
        let place = Self {
            directory: above.join("tree"),
            canary: above.join("canary"),
        };
        fs::write(&place.canary, "canary").expect("there is room");
        place
    }

    fn empty(&self) {
        fs::create_dir(&self.directory).expect("there is room");
    }

    fn judge(&self) {
        let above = self.directory.parent().expect("it has one");
        let names = fs::read_dir(above).expect("it is there").count();
        assert_eq!(
            (names, fs::read(&self.canary).unwrap()),
            (2, b"canary".to_vec()),
            "something was written outside"
        );
        fs::remove_dir_all(&self.directory).expect("what was unpacked can be removed");
    }
}

/// Whether a case fails or not, the next one begins with nothing.
fn on(place: &Place, what: impl FnOnce(&Path)) {
    let _ = fs::remove_dir_all(&place.directory);
    place.empty();
    what(&place.directory);
    place.judge();
}
