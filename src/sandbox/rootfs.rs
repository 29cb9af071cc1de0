//! What the programs of an environment see: its root, its boot half, and file systems of their own.
//!
//! First the root becomes `/` and everything else is let go of; only then is anything looked up in it,
//! so whatever links and devices it has planted, there is no outside left to reach. Not for privileges.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, bail};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fchmod, makedev, mknodat};
use nix::unistd::{chdir, fchdir, pivot_root, sethostname};

use super::mountpoints::Place;
use super::protocol::{Request, StandIn};
use super::services;
use crate::fs::mounts::{Detached, Forbids};
use crate::fs::rooted::Tree;

/// The environment's own disk: nothing on it is a device, or gives more rights than its caller has.
const DISK: Forbids = Forbids::SETUID.and(Forbids::DEVICES);
/// What only tells about the kernel.
const KNOWLEDGE: Forbids = DISK.and(Forbids::PROGRAMS);

/// Parts of `/proc` that show the server's memory and secrets.
const PROC_HIDDEN: &[&str] = &[
    "kcore",
    "kmsg",
    "keys",
    "key-users",
    "kallsyms",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "timer_list",
];

/// The devices there are: name, major, minor (Documentation/admin-guide/devices.txt of Linux).
const DEVICES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// The links every `/dev` has.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Where netbe's stand-in files lie; mounted from here over the environment's own.
const OWN: &str = "run/netbe";

/// Makes the environment all this process can reach. Wants mount, PID, IPC and UTS namespaces of its own.
pub(super) fn build(request: &Request) -> anyhow::Result<()> {
    sethostname(&request.hostname).context("setting the host name")?;
    let (boot, packages) = enter(request).context("making the environment the root")?;
    let tree = Tree::open(Path::new("/"))?;
    proc(&tree).context("making /proc")?;
    let sysfs =
        Detached::new("sysfs", &[], KNOWLEDGE.and(Forbids::WRITING)).context("making /sys")?;
    sysfs.attach(&directory(&tree, "sys")?)?;
    devices(&tree).context("making /dev")?;
    temporary(&tree)?;
    boot.attach(&directory(&tree, &request.boot_mount)?)
        .with_context(|| format!("mounting the boot half at {}", request.boot_mount))?;
    if let Some(packages) = packages {
        packages
            .attach(&directory(&tree, services::PACKAGES)?)
            .context("mounting the place for packages")?;
    }
    stand_ins(&tree, &request.files)?;
    hide(&tree).context("hiding parts of /proc")
}

/// Makes the root `/` and leaves everything else behind; returns the boot half and the place for packages,
/// still to be put up.
fn enter(request: &Request) -> anyhow::Result<(Detached, Option<Detached>)> {
    // Otherwise what is mounted here would appear in the server's own table too.
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let boot = Detached::copy_of(&open_directory(&request.boot)?, DISK)
        .with_context(|| request.boot.display().to_string())?;
    let packages = match &request.packages {
        Some(path) => Some(
            Detached::copy_of(&open_directory(path)?, DISK.and(Forbids::PROGRAMS))
                .with_context(|| path.display().to_string())?,
        ),
        None => None,
    };
    let root = open_directory(&request.root)?;
    // Bound onto itself: `findmnt /` and package hooks that ask it want a real mount point.
    let root = Detached::copy_of(&root, DISK)
        .and_then(|copy| copy.attach(&root))
        .with_context(|| request.root.display().to_string())?;
    fchdir(&root)?;
    // The old root ends up on top of the new one, where it can be let go of without a place for it.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    Ok((boot, packages))
}

fn open_directory(path: &Path) -> anyhow::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).with_context(|| path.display().to_string())
}

fn proc(tree: &Tree) -> anyhow::Result<()> {
    // Whole: much of it is written by whoever is root, without a capability being asked for (/proc/sys, the caches of
    // an NFS server), and what is there differs from kernel to kernel. A process cannot change its own name or its
    // chance with the OOM killer by it, which no package manager minds.
    Detached::new("proc", &[], KNOWLEDGE.and(Forbids::WRITING))?
        .attach(&directory(tree, "proc")?)?;
    Ok(())
}

fn devices(tree: &Tree) -> anyhow::Result<()> {
    let options = [("mode", "755"), ("size", "1m"), ("nr_inodes", "1k")];
    let dev = Detached::new("tmpfs", &options, Forbids::SETUID.and(Forbids::PROGRAMS))?
        .attach(&directory(tree, "dev")?)?;
    for (name, major, minor) in DEVICES {
        // Nodes of our own: through the server's, its modes and owners could be changed from inside.
        let mode = Mode::from_bits_truncate(0o666);
        mknodat(&dev, *name, SFlag::S_IFCHR, mode, makedev(*major, *minor))
            .with_context(|| format!("/dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        nix::unistd::symlinkat(*target, &dev, *name)?;
    }
    for name in ["pts", "shm"] {
        nix::sys::stat::mkdirat(&dev, name, Mode::from_bits_truncate(0o755))?;
    }
    let options = [("mode", "620"), ("gid", "5"), ("ptmxmode", "666")];
    Detached::new("devpts", &options, Forbids::SETUID.and(Forbids::PROGRAMS))?
        .attach(&directory(tree, "dev/pts")?)?;
    memory("1777", "10%", KNOWLEDGE)?.attach(&directory(tree, "dev/shm")?)?;
    Ok(())
}

fn temporary(tree: &Tree) -> anyhow::Result<()> {
    memory("755", "10%", DISK)?.attach(&directory(tree, "run")?)?;
    tree.make_dirs("run/lock")?;
    open_to_all(tree, "run/lock")?;
    // Images of memory to boot from are put together in the second.
    for (path, size) in [("tmp", "25%"), ("var/tmp", "50%")] {
        // Some systems have one as a link to the other: there is an empty one behind it already.
        let linked = tree
            .symlink_metadata(path)?
            .is_some_and(|m| m.file_type().is_symlink());
        if !linked {
            if tree.symlink_metadata(path)?.is_none() {
                tree.make_dirs(path)?;
                open_to_all(tree, path)?;
            }
            memory("1777", size, DISK)?.attach(&directory(tree, path)?)?;
        }
    }
    Ok(())
}

/// A file system in memory; all of them together take less than there is.
fn memory(mode: &str, size: &str, forbids: Forbids) -> io::Result<Detached> {
    let options = [("mode", mode), ("size", size), ("nr_inodes", "100k")];
    Detached::new("tmpfs", &options, forbids)
}

fn open_to_all(tree: &Tree, path: &str) -> anyhow::Result<()> {
    let directory = tree.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    Ok(fchmod(&directory, Mode::from_bits_truncate(0o1777))?)
}

fn stand_ins(tree: &Tree, files: &[StandIn]) -> anyhow::Result<()> {
    tree.make_dirs(OWN)?;
    for (number, file) in files.iter().enumerate() {
        match &file.place {
            Place::Fresh(path) => {
                if let Some((parent, _)) = path.rsplit_once('/') {
                    tree.make_dirs(parent)?;
                }
                tree.write(path, file.content.as_bytes())?;
                set_mode(tree, path, file.mode)?;
            }
            Place::Over(path) => {
                let own = format!("{OWN}/{number}");
                tree.write(&own, file.content.as_bytes())?;
                let own = set_mode(tree, &own, file.mode)?;
                // From a file already looked at: whatever else stands there now is an error.
                let place = tree
                    .open_file(path)?
                    .with_context(|| format!("/{path} in the environment has gone"))?;
                Detached::copy_of(&own, DISK)
                    .and_then(|copy| copy.attach(&place))
                    .with_context(|| format!("putting a file in the place of /{path}"))?;
            }
        }
    }
    Ok(())
}

fn set_mode(tree: &Tree, path: &str, mode: u32) -> anyhow::Result<OwnedFd> {
    let file = tree.open_at(path, OFlag::O_RDONLY, Mode::empty())?;
    fchmod(&file, Mode::from_bits_truncate(mode))?;
    Ok(file)
}

fn hide(tree: &Tree) -> anyhow::Result<()> {
    let own = format!("{OWN}/nothing");
    let flags = OFlag::O_CREAT | OFlag::O_RDONLY;
    let nothing = tree.open_at(&own, flags, Mode::empty())?;
    for name in PROC_HIDDEN {
        if let Some(place) = there(tree, &format!("proc/{name}"))? {
            Detached::copy_of(&nothing, KNOWLEDGE.and(Forbids::WRITING))
                .and_then(|copy| copy.attach(&place))
                .with_context(|| format!("/proc/{name}"))?;
        }
    }
    Ok(())
}

/// Opens a mount point, made if it is missing; a link, a file or a device there is an error.
fn directory(tree: &Tree, path: &str) -> anyhow::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let plain = path.trim_start_matches('/');
    match tree.open_without_links(plain, flags) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            tree.make_dirs(plain)?;
            tree.open_without_links(plain, flags)
        }
        opened => opened,
    }
    .with_context(|| format!("/{plain} in the environment is no plain directory"))
}

fn there(tree: &Tree, path: &str) -> anyhow::Result<Option<OwnedFd>> {
    match tree.open_without_links(path, OFlag::O_PATH) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => bail!("{e}"),
    }
}
