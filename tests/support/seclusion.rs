//! A mount namespace for one test, in which it cannot touch what the machine itself uses.
//!
//! Exports, the NFS server's tables and mount units written there are the test's own and vanish with it. Not a
//! sandbox: everything else of the machine is within reach.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Where packages have their units.
const UNITS: &str = "/usr/lib/systemd/system";

/// Directories that netbe writes outside a pool; each is an empty one of the test's own.
const PRIVATE: [&str; 10] = [
    "/var/lib/netbe",
    "/etc/exports.d",
    "/etc/dnsmasq.d",
    "/etc/tgt/conf.d",
    "/run/dnsmasq",
    "/etc/systemd/system",
    // A package of netbe on this machine has its units here.
    UNITS,
    "/var/lib/nfs",
    "/run/systemd",
    // Taking away a directory here would unmount what another test has mounted on it.
    "/run/netbe",
];

/// Fails the test when it does not run as root.
///
/// # Panics
///
/// When the effective user is not root.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs root, for loop devices and mounts: run `sudo scripts/test`"
    );
}

/// Moves the calling thread, and all it starts from now on, into a mount namespace of its own.
///
/// There the directories netbe writes outside a pool are empty and private, and systemd seems not to run
/// (`/run/systemd/system` is missing), so that no unit is started on the real machine.
///
/// # Panics
///
/// When not run as root.
pub fn seclude() {
    require_root();
    unshare(CloneFlags::CLONE_NEWNS).expect("root may make a mount namespace");
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .expect("mounts can be made private");
    // Name resolution of a machine with systemd-resolved lives under /run/systemd and must go on working.
    let resolver = fs::canonicalize("/etc/resolv.conf")
        .ok()
        .and_then(|path| Some((fs::read(&path).ok()?, path)));
    for directory in PRIVATE.iter().map(Path::new) {
        fs::create_dir_all(directory).expect("a mount point can be made");
        mount(
            Some("tmpfs"),
            directory,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Some("mode=755,size=64m"),
        )
        .expect("a tmpfs can be mounted");
    }
    if let Some((content, path)) = resolver.filter(|(_, path)| !path.exists()) {
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("tmpfs is writable");
        fs::write(path, content).expect("tmpfs is writable");
    }
    share_mounts();
}

/// Shows this machine's own units again: to a server that is made of this machine's files, which goes by them.
pub fn show_units() {
    nix::mount::umount(UNITS).expect("it was mounted just now");
}

/// Has the mounts of the calling thread be shared, as systemd has those of a machine be: what a program unmounts in a
/// namespace that it made goes here, too, unless it took care.
pub fn share_mounts() {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SHARED,
        None::<&str>,
    )
    .expect("mounts can be shared");
}

/// Returns what is mounted for the calling thread: the number of each mount, and where it is.
///
/// The rest of a line of the table changes by what others do to the same filesystem, and the table of the process is
/// that of another thread.
pub fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc is mounted");
    let mount = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        format!("{} {}", fields[0], fields[4])
    };
    table.lines().map(mount).collect()
}
