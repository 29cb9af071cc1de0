//! How many processes there may be in a sandbox: a cgroup of its own, where the server has such.
//!
//! Without one (no `pids` controller, a read-only `/sys/fs/cgroup`) there is no limit and no failure.
//! What a killed netbe has left is empty, and the next sandbox takes it away. Not for memory or time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the controller may be: the one tree of cgroup v2, and its own of v1.
///
/// At the top: below the caller's own cgroup, v2 allows no limits as long as the caller is in it.
const TREES: &[&str] = &["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
/// Followed by the number of the process that takes it away.
const NAME: &str = "netbe-sandbox-";
/// A big package with hooks that work on all cores has some hundred; the kernel of a small server takes
/// 32768 in all. What systemd gives a service is about as much.
const MOST: &str = "4096";

/// A cgroup, taken away when dropped; nobody may be in it any more then.
#[derive(Debug)]
pub(super) struct Limit {
    dir: PathBuf,
}

impl Limit {
    /// Makes one, if that can be had here.
    pub(super) fn make() -> Option<Self> {
        TREES.iter().find_map(|tree| Self::make_in(Path::new(tree)))
    }

    fn make_in(tree: &Path) -> Option<Self> {
        remove_stale(tree);
        let dir = tree.join(format!("{NAME}{}", std::process::id()));
        // Where this is no cgroup tree at all, there must not be a directory of ours either.
        if !tree.join("cgroup.procs").exists() {
            return None;
        }
        fs::create_dir(&dir).ok()?;
        let limit = Self { dir };
        fs::write(limit.dir.join("pids.max"), MOST).ok()?;
        Some(limit)
    }

    /// Puts this process, and all it will start, into it.
    pub(super) fn enter(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.procs"), "0")
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // The last one inside may be reaped and yet be counted for a moment.
        for _ in 0..50 {
            match fs::remove_dir(&self.dir) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => return,
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
        assert!(Limit::make_in(dir.path()).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(Limit::make_in(&dir.path().join("none")).is_none());
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
