//! A btrfs filesystem in a file, for one test.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use super::{Netbe, seclude, wait_for_forks};

/// How large a pool's filesystem is when a test does not say, in bytes; the file is sparse.
const SIZE: u64 = 8 << 30;

/// The address that pools of tests give as their server's; reserved for documentation.
pub const SERVER: &str = "192.0.2.1";

/// A mounted btrfs filesystem, in a mount namespace of the test's own.
///
/// It is there for the thread that made it, and for what that thread starts. Making one takes about a tenth of a second.
#[derive(Debug)]
pub struct Pool {
    directory: TempDir,
    path: PathBuf,
}

impl Pool {
    /// Makes a pool that `netbe init` has set up.
    pub fn new() -> Self {
        let pool = Self::bare(SIZE);
        pool.netbe().ok(&format!("init --server {SERVER}"));
        pool
    }

    /// Makes a filesystem of the given size in bytes (at least 114 MiB) that no netbe has seen.
    pub fn bare(size: u64) -> Self {
        seclude();
        Self::mounted(size)
    }

    /// Makes another pool of the same server, as [`Pool::new`] does.
    pub fn another(&self) -> Self {
        let pool = self.another_bare(SIZE);
        pool.netbe().ok(&format!("init --server {SERVER}"));
        pool
    }

    /// Makes another filesystem of the same server, as [`Pool::bare`] does.
    pub fn another_bare(&self, size: u64) -> Self {
        Self::mounted(size)
    }

    /// Makes a filesystem as [`Pool::bare`] does, in memory where that can be: there a commit costs nothing.
    pub fn in_memory(size: u64) -> Self {
        seclude();
        let memory = Path::new("/dev/shm");
        match memory.is_dir() {
            true => Self::mounted_in(memory, size),
            false => Self::mounted(size),
        }
    }

    fn mounted(size: u64) -> Self {
        Self::mounted_in(&std::env::temp_dir(), size)
    }

    fn mounted_in(place: &Path, size: u64) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("netbe-test-")
            .tempdir_in(place)
            .expect("a temporary directory can be made");
        // As /srv is: a TFTP server that is not root has to get through.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))
            .expect("one's own directory can be changed");
        let path = directory.path().join("pool");
        let image = directory.path().join("pool.btrfs");
        std::fs::create_dir(&path).expect("a fresh directory is writable");
        File::create(&image)
            .and_then(|file| file.set_len(size))
            .expect("a sparse file can be made");
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        // mount(8) asks for autoclear: the loop device goes with the mount, also after a SIGKILL.
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, &path]));
        Self { directory, path }
    }

    /// Returns where the pool is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a directory beside the pool, on another filesystem, for what the test brings along.
    pub fn beside(&self) -> &Path {
        self.directory.path()
    }

    /// Returns netbe, set to this pool.
    pub fn netbe(&self) -> Netbe {
        Netbe::new(&self.path, self.directory.path())
    }

    /// Returns the directory of state directories: the test's own, see [`seclude`].
    pub fn states(&self) -> PathBuf {
        PathBuf::from(netbe::pool::state::DEFAULT)
    }

    /// Returns the pool's state directory; where none is of this pool, the first there is.
    pub fn state(&self) -> PathBuf {
        state_of(&self.path)
    }

    /// Returns a file that the state directory has of a node: `pool.of_node("nog", "node.json")`.
    pub fn of_node(&self, node: &str, file: &str) -> PathBuf {
        self.state().join("nodes").join(node).join(file)
    }

    /// Returns the pool, opened.
    pub fn open(&self) -> netbe::pool::Pool {
        netbe::pool::Pool::open(&self.path, &self.states()).expect("it is a pool")
    }

    /// Changes the record of an environment as netbe would, with the code that it then has.
    pub fn change_record(&self, environment: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let dir = self.half(environment, "");
        let file = dir.join("env.json");
        let text = std::fs::read_to_string(&file).expect("it has a record");
        let mut record: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        change(&mut record);
        self.write_record(environment, &record.to_string());
    }

    /// Writes a text as the record of an environment; one that is a record gets the code that it then has.
    pub fn write_record(&self, environment: &str, text: &str) {
        let dir = self.half(environment, "");
        match netbe::pool::EnvRecord::parse(text) {
            Ok(record) => record
                .store(&dir, self.open().key(), netbe::fs::atomic::Durable::AtOnce)
                .expect("the record can be written"),
            Err(_) => {
                std::fs::write(dir.join("env.json"), text).expect("the record can be written");
            }
        }
    }

    /// Returns the findings of `check`, each its line and its remedy.
    pub fn findings(&self) -> Vec<(String, String)> {
        let output = self.netbe().run("check").stdout;
        let lines: Vec<&str> = output.lines().collect();
        let remedy = |line: &str| line.trim_start().strip_prefix("remedy: ").map(String::from);
        lines
            .windows(2)
            .filter_map(|two| Some((two[0].to_string(), remedy(two[1])?)))
            .collect()
    }

    /// Returns a path of an environment's half: `pool.half("nog/first", "root")`.
    pub fn half(&self, environment: &str, half: &str) -> PathBuf {
        let (node, name) = environment
            .split_once('/')
            .expect("an environment is written NODE/ENV");
        self.path
            .join("nodes")
            .join(node)
            .join("envs")
            .join(name)
            .join(half)
    }

    /// Mounts the filesystem again read-only, or writable.
    pub fn remount(&self, read_only: bool) {
        let mode = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        run(Command::new("mount").args(["-o", mode]).arg(&self.path));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Before the directory goes: emptying the mounted filesystem file by file would take longer than the test.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

/// Returns the state directory of the pool at a path; where none is of that place, the first there is.
pub fn state_of(pool: &Path) -> PathBuf {
    let states = PathBuf::from(netbe::pool::state::DEFAULT);
    let entries = std::fs::read_dir(&states).expect("it is there");
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    all.sort();
    let is_of = |state: &PathBuf| {
        let place = state.join("place.json");
        // What a test has put there may be anything.
        let is_file = place.symlink_metadata().is_ok_and(|m| m.is_file());
        let text = is_file.then(|| std::fs::read_to_string(&place).unwrap_or_default());
        let place: serde_json::Value =
            serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        place["dir"]
            .as_str()
            .is_some_and(|dir| Path::new(dir) == pool)
    };
    let found = all.iter().position(is_of).unwrap_or_default();
    all.into_iter().nth(found).unwrap_or(states)
}

/// Runs a program that a fixture needs, and fails the test with what it said.
///
/// What this test has closed before, nothing has open: it can be unmounted, and run.
pub fn run(command: &mut Command) {
    wait_for_forks();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} cannot be run ({error}); `scripts/install-needs test` installs it")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
