//! Mounting, and other namespaces.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::Plain::{Either, Succeeds};
use super::server::Prize;
use super::{Attempt, address, call, reached};

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "mount", plain: Succeeds, go: |_| plain_mount(MsFlags::empty(), "/mnt") },
    Attempt { name: "bind mount", plain: Succeeds, go: |_| plain_mount(MsFlags::MS_BIND, "/mnt") },
    Attempt { name: "remount /sys", plain: Succeeds, go: |_| remount("/sys") },
    Attempt { name: "remount /proc/sys", plain: Succeeds, go: remount_settings },
    Attempt { name: "mount a disk", plain: Either, go: mount_disk },
    Attempt { name: "unmount", plain: Succeeds, go: |_| Ok(umount2("/proc", MntFlags::MNT_DETACH)?) },
    Attempt { name: "fsopen", plain: Succeeds, go: file_system },
    Attempt { name: "open_tree", plain: Succeeds, go: open_tree },
    Attempt { name: "move_mount", plain: Succeeds, go: |_| probe(libc::SYS_move_mount) },
    Attempt { name: "mount_setattr", plain: Succeeds, go: |_| probe(libc::SYS_mount_setattr) },
    Attempt { name: "pivot_root", plain: Succeeds, go: |_| probe(libc::SYS_pivot_root) },
    Attempt { name: "swapon", plain: Succeeds, go: |_| probe(libc::SYS_swapon) },
    Attempt { name: "swapoff", plain: Succeeds, go: |_| probe(libc::SYS_swapoff) },
    Attempt { name: "quotactl", plain: Either, go: |_| probe(libc::SYS_quotactl) },
    Attempt { name: "a subvolume by number", plain: Succeeds, go: subvolume },
    Attempt { name: "netbe's mounts", plain: Succeeds, go: |p| join(p, "mnt") },
    Attempt { name: "netbe's processes", plain: Succeeds, go: |p| join(p, "pid") },
    Attempt { name: "new mount namespace", plain: Succeeds, go: |_| leave(CloneFlags::CLONE_NEWNS) },
    Attempt { name: "new user namespace", plain: Either, go: |_| leave(CloneFlags::CLONE_NEWUSER) },
    Attempt { name: "new network", plain: Succeeds, go: |_| leave(CloneFlags::CLONE_NEWNET) },
    Attempt { name: "the same by clone", plain: Either, go: clone_user },
    Attempt { name: "the same by clone3", plain: Either, go: clone3_user },
    Attempt { name: "cgroup v1 agent", plain: Either, go: release_agent },
];

fn plain_mount(flags: MsFlags, place: &str) -> io::Result<()> {
    Ok(mount(
        Some("/root"),
        place,
        Some("tmpfs"),
        flags,
        None::<&str>,
    )?)
}

fn remount(place: &str) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    let none = None::<&str>;
    Ok(mount(none, place, none, flags, none)?)
}

/// It is a mount point in the sandbox alone: elsewhere it is writable already.
fn remount_settings(_: &Prize) -> io::Result<()> {
    match remount("/proc/sys") {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}

fn mount_disk(_: &Prize) -> io::Result<()> {
    let read = MsFlags::MS_RDONLY;
    let mounted = mount(
        Some("/planted-disk"),
        "/mnt",
        Some("ext4"),
        read,
        None::<&str>,
    );
    // There is no file system on it; that is all that is wrong.
    reached(mounted.map_err(io::Error::from))
}

fn file_system(_: &Prize) -> io::Result<()> {
    let kind = c"tmpfs";
    call(libc::SYS_fsopen, [kind.as_ptr() as usize, 0]).map(drop)
}

fn open_tree(_: &Prize) -> io::Result<()> {
    let place = c"/";
    let flags = libc::OPEN_TREE_CLONE as usize;
    let arguments = [libc::AT_FDCWD as usize, place.as_ptr() as usize, flags];
    call(libc::SYS_open_tree, arguments).map(drop)
}

/// With no argument that could mean anything: who may not, hears so first.
fn probe(number: libc::c_long) -> io::Result<()> {
    reached(call(number, [0; 6]))
}

/// `BTRFS_IOC_SNAP_DESTROY_V2`, with nothing to say which: where a chroot lies on another file system it
/// is answered by that.
fn subvolume(_: &Prize) -> io::Result<()> {
    let top = File::open("/")?;
    reached(call(
        libc::SYS_ioctl,
        [top.as_raw_fd() as usize, 0x5000_943f, 0],
    ))
}

fn join(prize: &Prize, what: &str) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{}/ns/{what}", prize.netbe))?;
    Ok(setns(namespace, CloneFlags::empty())?)
}

fn leave(what: CloneFlags) -> io::Result<()> {
    Ok(unshare(what)?)
}

fn clone_user(_: &Prize) -> io::Result<()> {
    let flags = libc::CLONE_NEWUSER as usize | libc::SIGCHLD as usize;
    match call(libc::SYS_clone, [flags, 0, 0, 0, 0])? {
        0 => std::process::exit(0),
        _ => Ok(()),
    }
}

fn clone3_user(_: &Prize) -> io::Result<()> {
    // struct clone_args: flags first, the signal fifth.
    let mut words = [0u64; 8];
    (words[0], words[4]) = (libc::CLONE_NEWUSER as u64, libc::SIGCHLD as u64);
    match call(libc::SYS_clone3, [address(&words), size_of_val(&words)])? {
        0 => std::process::exit(0),
        _ => Ok(()),
    }
}

/// A hierarchy of one's own names a program that the kernel starts outside (CVE-2022-0492).
fn release_agent(_: &Prize) -> io::Result<()> {
    let place = File::open("/mnt")?;
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    let none = MsFlags::empty();
    Ok(mount(
        Some("cgroup"),
        &*path,
        Some("cgroup"),
        none,
        Some("rdma"),
    )?)
}
