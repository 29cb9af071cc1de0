//! Limits a sandbox's processes and memory by cgroups of its own.
//!
//! Without the controller, or with a read-only `/sys/fs/cgroup`, there is no limit and no error; [`unlimited`]
//! reports it. The empty cgroup of a killed netbe is removed by the next sandbox.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::bounds::kilobytes;

/// The cgroup mount point: one tree in v2, a directory for each controller in v1.
///
/// At the top: below the caller's own cgroup, v2 allows no limits while the caller is a member of it.
const TREE: &str = "/sys/fs/cgroup";
/// Followed by the process ID of the owner, which removes it.
const NAME: &str = "netbe-sandbox-";
/// A big package with hooks on all cores needs some hundred; the kernel of a small server allows 32768.
/// systemd's default for a service is about the same.
const MAX_PROCESSES: &str = "4096";

/// The controllers, and the name of what each limits.
const CONTROLLERS: &[(&str, &str)] = &[("pids", "processes"), ("memory", "memory")];

/// Cgroups, removed when dropped; all their processes must have ended by then.
#[derive(Debug, Default)]
pub(super) struct Limit {
    dirs: Vec<PathBuf>,
}

/// Returns the names of the missing limits on this machine: processes, memory.
pub fn unlimited() -> Vec<&'static str> {
    lacking(Path::new(TREE))
}

fn lacking(top: &Path) -> Vec<&'static str> {
    let is_missing = |(controller, _): &&(&str, &str)| {
        let tree = tree(top, controller);
        tree.is_none_or(|tree| access(&tree, AccessFlags::W_OK).is_err())
    };
    let lacking = CONTROLLERS.iter().filter(is_missing);
    lacking.map(|(_, what)| *what).collect()
}

/// Returns the directory in which a controller's cgroups are made.
fn tree(top: &Path, controller: &str) -> Option<PathBuf> {
    let child = top.join(controller);
    if child.join("cgroup.procs").exists() {
        return Some(child);
    }
    let has = fs::read_to_string(top.join("cgroup.controllers")).ok()?;
    let is_there = has.split_whitespace().any(|name| name == controller);
    is_there.then(|| top.to_path_buf())
}

impl Limit {
    /// Creates a cgroup for each controller that this machine has.
    pub(super) fn make() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::make_in(Path::new(TREE), &memory)
    }

    fn make_in(top: &Path, memory: &str) -> Self {
        let mut limit = Self::default();
        for (controller, _) in CONTROLLERS {
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
            // A failure is fine: systemd has enabled the controller at the top already.
            let _ = fs::write(
                tree.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
            for (file, value) in settings(controller, memory) {
                // The names of v2 and of v1; one of them exists.
                if dir.join(file).exists() {
                    let _ = fs::write(dir.join(file), value);
                }
            }
        }
        limit
    }

    /// Moves this process into them; its children inherit that.
    pub(super) fn enter(&self) {
        for dir in &self.dirs {
            // Without the controller there is no limit; see the module's comment.
            let _ = fs::write(dir.join("cgroup.procs"), "0");
        }
    }
}

/// Returns a controller's settings: three quarters of the memory, half of the swap.
///
/// The processor is not limited: all of a cgroup's processes share the weight of one, and an upgrade on a busy
/// server would take half as long again.
fn settings(controller: &str, memory: &str) -> Vec<(&'static str, String)> {
    let most = kilobytes(memory, "MemTotal:") / 4 * 3;
    let swap = kilobytes(memory, "SwapTotal:") / 2;
    match controller {
        "pids" => vec![("pids.max", MAX_PROCESSES.to_string())],
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
            // The last process may be counted for a short time after it was reaped.
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

/// Removes cgroups whose owner has ended; the kernel refuses to remove one with processes in it.
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
    fn without_a_cgroup_tree_there_is_no_limit_and_no_directory_is_made() {
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
    fn memory_is_limited_to_a_share_of_the_machines() {
        let limits = settings("memory", "MemTotal: 4096 kB\nSwapTotal: 1024 kB\n");
        assert_eq!(limits[0], ("memory.max", (3 << 20).to_string()));
        assert_eq!(limits[1], ("memory.swap.max", (512 << 10).to_string()));
        assert!(settings("memory", "").is_empty());
    }

    #[test]
    fn only_cgroups_of_ended_owners_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        // Above the largest process ID (PID_MAX_LIMIT); process 1 always exists.
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
