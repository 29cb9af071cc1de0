//! What there may be in a sandbox of processes and memory: cgroups of its own, where the server has such.
//!
//! Without one (no such controller, a read-only `/sys/fs/cgroup`) there is no limit and no failure;
//! [`unlimited`] tells. What a killed netbe has left is empty, and the next sandbox takes it away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::bounds::kilobytes;

/// Where control groups are, below which v1 has a tree for each controller and v2 is one.
///
/// At the top: below the caller's own cgroup, v2 allows no limits as long as the caller is in it.
const TREE: &str = "/sys/fs/cgroup";
/// Followed by the number of the process that takes it away.
const NAME: &str = "netbe-sandbox-";
/// A big package with hooks that work on all cores has some hundred; the kernel of a small server takes
/// 32768 in all. What systemd gives a service is about as much.
const MOST: &str = "4096";

/// A controller, and what it is that goes without a limit where there is none.
struct Controller {
    name: &'static str,
    what: &'static str,
}

const CONTROLLERS: &[Controller] = &[
    Controller {
        name: "pids",
        what: "processes",
    },
    Controller {
        name: "memory",
        what: "memory",
    },
];

/// Cgroups, taken away when dropped; nobody may be in them any more then.
#[derive(Debug, Default)]
pub(super) struct Limit {
    dirs: Vec<PathBuf>,
}

/// Returns what programs have no limit of on this machine.
pub fn unlimited() -> Vec<&'static str> {
    lacking(Path::new(TREE))
}

fn lacking(top: &Path) -> Vec<&'static str> {
    let is_missing = |controller: &&Controller| {
        let tree = tree(top, controller);
        tree.is_none_or(|tree| access(&tree, AccessFlags::W_OK).is_err())
    };
    let lacking = CONTROLLERS.iter().filter(is_missing);
    lacking.map(|c| c.what).collect()
}

/// Returns the tree that has a controller.
fn tree(top: &Path, controller: &Controller) -> Option<PathBuf> {
    let own = top.join(controller.name);
    if own.join("cgroup.procs").exists() {
        return Some(own);
    }
    let has = fs::read_to_string(top.join("cgroup.controllers")).ok()?;
    let is_there = has.split_whitespace().any(|name| name == controller.name);
    is_there.then(|| top.to_path_buf())
}

impl Limit {
    /// Makes those that can be had here.
    pub(super) fn make() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::make_in(Path::new(TREE), &memory)
    }

    fn make_in(top: &Path, memory: &str) -> Self {
        let mut limit = Self::default();
        for controller in CONTROLLERS {
            let Some(tree) = tree(top, controller) else {
                continue;
            };
            let dir = tree.join(format!("{NAME}{}", std::process::id()));
            if !limit.dirs.contains(&dir) {
                remove_stale(&tree);
                if fs::create_dir(&dir).is_err() {
                    continue;
                }
                limit.dirs.push(dir.clone());
            }
            // Where the top hands it down already, as systemd has it, this changes nothing.
            let _ = fs::write(
                tree.join("cgroup.subtree_control"),
                format!("+{}", controller.name),
            );
            for (file, value) in settings(controller.name, memory) {
                // By the names of v2 and of v1; one of the two is there.
                if dir.join(file).exists() {
                    let _ = fs::write(dir.join(file), value);
                }
            }
        }
        limit
    }

    /// Puts this process, and all it will start, into them.
    pub(super) fn enter(&self) {
        for dir in &self.dirs {
            // One that cannot be entered is one that cannot be had.
            let _ = fs::write(dir.join("cgroup.procs"), "0");
        }
    }
}

/// Returns what a controller is told: three quarters of memory, half of what there is to swap to.
///
/// Nothing of the processor: a cgroup counts as one among all the server's processes, and an upgrade on a busy
/// server would take half as long again.
fn settings(controller: &str, memory: &str) -> Vec<(&'static str, String)> {
    let most = kilobytes(memory, "MemTotal:") / 4 * 3;
    let swap = kilobytes(memory, "SwapTotal:") / 2;
    match controller {
        "pids" => vec![("pids.max", MOST.to_string())],
        "memory" if most > 0 => vec![
            ("memory.max", most.to_string()),
            ("memory.swap.max", swap.to_string()),
            ("memory.limit_in_bytes", most.to_string()),
            ("memory.memsw.limit_in_bytes", (most + swap).to_string()),
        ],
        _ => Vec::new(),
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // The last one inside may be reaped and yet be counted for a moment.
            for _ in 0..50 {
                match fs::remove_dir(dir) {
                    Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Takes away what processes that are gone have left; one that somebody is in stays, the kernel sees to it.
fn remove_stale(tree: &Path) {
    let Ok(entries) = fs::read_dir(tree) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(NAME));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_such_tree_there_is_no_limit_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Limit::make_in(dir.path(), "").dirs.is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(lacking(dir.path()), ["processes", "memory"]);
    }

    #[test]
    fn one_tree_or_one_for_each_controller() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        assert_eq!(lacking(dir.path()), ["memory"]);
        let limit = Limit::make_in(dir.path(), "");
        assert_eq!(limit.dirs.len(), 1);
        let own = dir.path().join("memory");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("cgroup.procs"), "").unwrap();
        assert_eq!(lacking(dir.path()), [""; 0]);
        drop(limit);
        assert_eq!(Limit::make_in(dir.path(), "").dirs.len(), 2);
    }

    #[test]
    fn memory_is_limited_by_what_there_is() {
        let told = settings("memory", "MemTotal: 4096 kB\nSwapTotal: 1024 kB\n");
        assert_eq!(told[0], ("memory.max", (3 << 20).to_string()));
        assert_eq!(told[1], ("memory.swap.max", (512 << 10).to_string()));
        assert!(settings("memory", "").is_empty());
    }

    #[test]
    fn only_what_gone_processes_have_left_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        // Beyond the largest there can be (PID_MAX_LIMIT); process 1 is always there.
        let names = ["netbe-sandbox-4194305", "netbe-sandbox-1", "system.slice"];
        for name in names {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        remove_stale(dir.path());
        assert_eq!(
            names.map(|name| dir.path().join(name).exists()),
            [false, true, true]
        );
    }
}
