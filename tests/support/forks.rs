//! Waiting for programs that another test is just starting, since they have this process' open files.
//!
//! Tests are threads of one process, and a program is started by a fork. Until that has become the program it has every file
//! that was open in any thread when it was made: one that its own test has closed long since is in use still, is locked
//! still, is open for writing still and cannot be run. `O_CLOEXEC` closes it when the program begins, and no earlier. On a
//! machine with much to do that takes long enough to be seen.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::wait::wait_until;

/// Waits until nothing has a file open because this process had, and has no more.
///
/// What this thread has open still is another matter: that is its test's own doing.
///
/// # Panics
///
/// When a fork has not become a program after a minute.
pub fn wait_for_forks() {
    // Those that are made from now on have nothing that is closed by now.
    let mut forks = forks();
    wait_until("what is being started runs", || {
        let threads = threads();
        forks.retain(|pid| is_fork(pid, &threads));
        forks.is_empty()
    });
}

/// Unmounts what this process has nothing open of any more, as soon as the kernel has let go of it.
///
/// # Panics
///
/// When something is in use there after a minute, or is not mounted.
pub fn unmount(at: &Path) {
    wait_until("nothing is in use there", || {
        // A child that has ended, or has become its program, lets go of its files a moment later.
        match umount2(at, MntFlags::empty()) {
            Err(Errno::EBUSY) => false,
            result => {
                result.unwrap_or_else(|error| panic!("{}: {error}", at.display()));
                true
            }
        }
    });
}

/// Returns the children of this process that are no program of their own yet.
fn forks() -> Vec<String> {
    let threads = threads();
    children().filter(|pid| is_fork(pid, &threads)).collect()
}

/// Returns whether a child is still what it was forked from, or is on its way from that.
///
/// It has the name of the thread, which waits for it, until it has closed every file that is to be closed. The kernel lets
/// go of those only when the program is loaded, which may mean that it is read from a disk: until then it has no code.
fn is_fork(pid: &str, threads: &HashSet<String>) -> bool {
    let of = Path::new("/proc").join(pid);
    let is_loading = || {
        fs::read_to_string(of.join("stat")).is_ok_and(|stat| {
            // From the third field on (proc(5)): a name may have spaces in it. The 26th is where the code begins.
            let after_name = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            after_name.split(' ').nth(26 - 3) == Some("0")
        })
    };
    // One that has ended and is not waited for has nothing open.
    let is_alive = || fs::read_link(of.join("exe")).is_ok();
    let is_named_so =
        || fs::read_to_string(of.join("comm")).is_ok_and(|name| threads.contains(&name));
    (is_named_so() || is_loading()) && is_alive()
}

fn tasks() -> impl Iterator<Item = std::path::PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    tasks.flatten().map(|task| task.path())
}

/// Returns what the threads of this process are called; a test's is called by its test.
fn threads() -> HashSet<String> {
    tasks()
        .filter_map(|task| fs::read_to_string(task.join("comm")).ok())
        .collect()
}

fn children() -> impl Iterator<Item = String> {
    tasks()
        .filter_map(|task| fs::read_to_string(task.join("children")).ok())
        .flat_map(|all| {
            all.split_whitespace()
                .map(str::to_string)
                .collect::<Vec<_>>()
        })
}
