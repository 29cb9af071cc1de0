//! Mounts, loop devices and processes of the machine, which no command may leave behind.
//!
//! Looked at before a command and after it, in the mount namespace of the test that has the pool. Not for what it
//! leaves in the pool: that is the judge's.

#![allow(
    dead_code,
    reason = "not every harness ends commands that have begun something"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::judge::Faults;
use crate::report::against;

/// How long the kernel may take to end the processes of a killed sandbox.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the machine has that a command must not leave behind: mounts, loop devices, processes.
#[derive(Debug)]
pub(crate) struct Surroundings {
    mounts: String,
    device: String,
    beside: PathBuf,
    loops: Vec<PathBuf>,
}

impl Surroundings {
    /// Looks at what there is for a pool mounted at `pool`, whose image and files are in the directory above.
    ///
    /// To be made anew when the pool is mounted anew.
    pub(crate) fn of(pool: &Path) -> Self {
        let mounts = mounts();
        let at = format!(" {} ", pool.display());
        let device = mounts
            .lines()
            .rfind(|line| line.contains(&at))
            .and_then(|line| line.split(" - ").nth(1)?.split(' ').nth(1))
            .expect("the pool is mounted")
            .to_string();
        let beside = pool.parent().expect("a pool is not /").to_path_buf();
        let loops = loops(&beside);
        Self {
            mounts,
            device,
            beside,
            loops,
        }
    }

    /// Returns what has been left; waits a little for processes that are ending.
    pub(crate) fn left(&self) -> Faults {
        let end = Instant::now() + PATIENCE;
        let mut processes = self.processes();
        while !processes.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
            processes = self.processes();
        }
        let mut faults = Faults::new();
        if !processes.is_empty() {
            faults.push(against(9, format!("processes are left: {processes:?}")));
        }
        let now = mounts();
        let new = numbers_not_in(&now, &self.mounts);
        if !new.is_empty() {
            faults.push(against(9, format!("mounts are left: {new:#?}")));
        }
        // What others had mounted when the test began goes when they take its place away; here only what is its own.
        let mut lost = numbers_not_in(&self.mounts, &now);
        lost.retain(|line| {
            let at = Path::new(line.split(' ').nth(4).unwrap_or_default());
            at.starts_with(&self.beside) || at.starts_with("/run/netbe")
        });
        if !lost.is_empty() {
            faults.push(against(9, format!("mounts are lost: {lost:#?}")));
        }
        if loops(&self.beside) != self.loops {
            faults.push(against(
                9,
                format!("loop devices: {:?}", loops(&self.beside)),
            ));
        }
        faults
    }

    /// Returns the processes that see the pool's filesystem, but for this one.
    ///
    /// Nobody else does: it is mounted in a namespace of this thread's own.
    fn processes(&self) -> Vec<String> {
        let this = std::process::id();
        // Most are in one namespace, whose mounts need to be read once.
        let mut of_namespaces: BTreeMap<PathBuf, bool> = BTreeMap::new();
        let mut sees = |pid: &u32| {
            let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else {
                return false;
            };
            if let Some(known) = of_namespaces.get(&namespace) {
                return *known;
            }
            let Ok(table) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) else {
                return false;
            };
            let at = format!(" {} ", self.device);
            let is_seen = table.lines().any(|line| line.contains(&at));
            // A process that has just ended shows none.
            if !table.is_empty() {
                of_namespaces.insert(namespace, is_seen);
            }
            is_seen
        };
        let describe = |pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!(
                "{pid} {}",
                String::from_utf8_lossy(&line).replace('\0', " ")
            )
        };
        fs::read_dir("/proc")
            .expect("/proc is mounted")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != this && sees(pid))
            .map(describe)
            .collect()
    }
}

/// Returns the mounts as this thread sees them; those of the process may be others.
fn mounts() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc is mounted")
}

/// Returns the loop devices whose files are below a directory.
fn loops(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir("/sys/block")
        .expect("/sys is mounted")
        .flatten()
        .map(|entry| entry.path())
        .filter(|device| {
            let file = fs::read_to_string(device.join("loop/backing_file")).unwrap_or_default();
            Path::new(&file).starts_with(directory)
        })
        .collect();
    found.sort();
    found
}

/// Returns the lines of a mount table whose mounts, by number and that of the one they are in, the other lacks.
///
/// The rest of a line can change by what others do to the same filesystem.
fn numbers_not_in<'a>(table: &'a str, other: &str) -> Vec<&'a str> {
    fn numbers(line: &str) -> Vec<&str> {
        line.split(' ').take(2).collect()
    }
    let known: Vec<_> = other.lines().map(numbers).collect();
    let is_known = |line: &&str| known.contains(&numbers(line));
    table.lines().filter(|line| !is_known(line)).collect()
}
