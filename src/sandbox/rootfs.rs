//! Mounts the root that programs of an environment see: its root half, its boot half, and file systems of their own.
//!
//! The environment becomes `/` and everything else is detached before any path in it is resolved, so no link or
//! device in it leads outside. Privileges are dropped elsewhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fchmod, makedev, mknodat};
use nix::unistd::{chdir, fchdir, pivot_root, sethostname};

use super::filesystems::{DATA_ONLY, DISK, NETBE_DIR, tmpfs};
use super::protocol::{Request, StandIn};
use super::{hidden, services};
use crate::fs::mounts::{Detached, Forbids};
use crate::fs::rooted::Tree;

/// The devices in `/dev`: name, major, minor (Documentation/admin-guide/devices.txt of Linux).
const DEVICES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// The symbolic links of every `/dev`.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the environment this process's root. Requires mount, PID, IPC and UTS namespaces of its own.
pub(super) fn build(request: &Request) -> anyhow::Result<()> {
    sethostname(&request.hostname).context("setting the host name")?;
    let outside = enter(request).context("making the environment the root")?;
    let tree = Tree::open(Path::new("/"))?;
    proc(&tree).context("making /proc")?;
    let sysfs = Detached::new("sysfs", &[], DATA_ONLY | Forbids::MOUNT_ATTR_RDONLY)
        .context("making /sys")?;
    sysfs.attach(&directory(&tree, "sys")?)?;
    devices(&tree).context("making /dev")?;
    temporary_directories(&tree)?;
    outside
        .boot
        .attach(&directory(&tree, &request.boot_mount)?)
        .with_context(|| format!("mounting the boot half at {}", request.boot_mount))?;
    for (data, place) in outside.data.into_iter().zip(&request.data) {
        data.attach(&directory(&tree, &place.to)?)
            .with_context(|| format!("mounting the data at {}", place.to))?;
    }
    if let Some(packages) = outside.packages {
        packages
            .attach(&directory(&tree, services::PACKAGES)?)
            .context("mounting the package directory")?;
    }
    stand_ins(&tree, &request.files)?;
    hidden::hide(&tree).context("hiding what /proc and /sys show of this server")
}

/// Mounts of what is outside the environment, not attached yet.
struct Outside {
    boot: Detached,
    packages: Option<Detached>,
    data: Vec<Detached>,
}

/// Makes the environment's root `/` and detaches everything else.
fn enter(request: &Request) -> anyhow::Result<Outside> {
    // Otherwise mounts made here would propagate to the server's namespace.
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let boot = Detached::copy_of(&open_directory(&request.boot)?, DISK)
        .with_context(|| request.boot.display().to_string())?;
    let packages = request.packages.as_deref().map(|path| {
        Detached::copy_of(&open_directory(path)?, DISK | Forbids::MOUNT_ATTR_NOEXEC)
            .with_context(|| path.display().to_string())
    });
    let packages = packages.transpose()?;
    let data = request.data.iter().map(|data| {
        Detached::copy_of(&open_directory(&data.from)?, DISK)
            .with_context(|| data.from.display().to_string())
    });
    let data = data.collect::<anyhow::Result<Vec<_>>>()?;
    let root = open_directory(&request.root)?;
    // Bound onto itself: `findmnt /` and package hooks need a mount point.
    let root = Detached::copy_of(&root, DISK)
        .and_then(|copy| copy.attach(&root))
        .with_context(|| request.root.display().to_string())?;
    fchdir(&root)?;
    // The old root is now mounted on top of the new one, and can be detached without a mount point for it.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    Ok(Outside {
        boot,
        packages,
        data,
    })
}

fn open_directory(path: &Path) -> anyhow::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).with_context(|| path.display().to_string())
}

fn proc(tree: &Tree) -> anyhow::Result<()> {
    // Read-only as a whole: root may write to much of it without a capability (/proc/sys, the caches of an NFS
    // server), and its files differ between kernels. So processes cannot change their name or OOM score through
    // it, which no package manager needs.
    Detached::new("proc", &[], DATA_ONLY | Forbids::MOUNT_ATTR_RDONLY)?
        .attach(&directory(tree, "proc")?)?;
    Ok(())
}

fn devices(tree: &Tree) -> anyhow::Result<()> {
    let options = [("mode", "755"), ("size", "1m"), ("nr_inodes", "1k")];
    let dev = Detached::new(
        "tmpfs",
        &options,
        Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NOEXEC,
    )?
    .attach(&directory(tree, "dev")?)?;
    for (name, major, minor) in DEVICES {
        // Nodes of the sandbox's own: through the server's, programs could change their modes and owners.
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
    Detached::new(
        "devpts",
        &options,
        Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NOEXEC,
    )?
    .attach(&directory(tree, "dev/pts")?)?;
    tmpfs("1777", "10%", DATA_ONLY)?.attach(&directory(tree, "dev/shm")?)?;
    Ok(())
}

fn temporary_directories(tree: &Tree) -> anyhow::Result<()> {
    tmpfs("755", "10%", DISK)?.attach(&directory(tree, "run")?)?;
    tree.make_dirs("run/lock")?;
    make_world_writable(tree, "run/lock")?;
    // An initramfs is built in /var/tmp.
    for (path, size) in [("tmp", "25%"), ("var/tmp", "50%")] {
        // On some systems one is a symbolic link to the other.
        let linked = tree
            .symlink_metadata(path)?
            .is_some_and(|m| m.file_type().is_symlink());
        if !linked {
            if tree.symlink_metadata(path)?.is_none() {
                tree.make_dirs(path)?;
                make_world_writable(tree, path)?;
            }
            tmpfs("1777", size, DISK)?.attach(&directory(tree, path)?)?;
        }
    }
    Ok(())
}

fn make_world_writable(tree: &Tree, path: &str) -> anyhow::Result<()> {
    let directory = tree.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    Ok(fchmod(&directory, Mode::from_bits_truncate(0o1777))?)
}

fn stand_ins(tree: &Tree, files: &[StandIn]) -> anyhow::Result<()> {
    tree.make_dirs(NETBE_DIR)?;
    for file in files {
        if let Some((parent, _)) = file.path.rsplit_once('/') {
            tree.make_dirs(parent)?;
        }
        tree.write(&file.path, file.content.as_bytes())?;
        set_mode(tree, &file.path, file.mode)?;
    }
    Ok(())
}

fn set_mode(tree: &Tree, path: &str, mode: u32) -> anyhow::Result<()> {
    let file = tree.open_at(path, OFlag::O_RDONLY, Mode::empty())?;
    Ok(fchmod(&file, Mode::from_bits_truncate(mode))?)
}

/// Opens a mount point and creates it if it is missing; anything but a directory is an error.
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
    .with_context(|| {
        format!("/{plain} in the environment is not a directory, or behind a symbolic link")
    })
}
