//! Mounts by the kernel's descriptor-based calls. Requires Linux 5.12.
//!
//! A mount is made detached, as a descriptor, and attached to a descriptor: no path is resolved twice, so
//! nothing in an untrusted root can move the mount elsewhere in between.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// Whether a mount is writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writable.
    ReadWrite,
    /// Read-only.
    ReadOnly,
}

/// Bind-mounts the directory `what` on the open directory `place`, without effect of device nodes and
/// set-user-ID programs.
///
/// By descriptor: a link swapped in at the path cannot move the mount, and the mount never exists without its
/// restrictions.
pub fn bind(what: &Path, place: &impl AsFd, access: Access) -> io::Result<()> {
    let forbids = Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV;
    let forbids = match access {
        Access::ReadOnly => forbids | Forbids::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => forbids,
    };
    let mount = Detached(open_tree(CWD, what, COPY)?);
    set_attributes(&mount.0, forbids)?;
    mount.attach(place).map(drop)
}

/// Returns a directory by a second, detached mount on which no device can be opened, with the mounts below it as they are.
pub fn without_devices(directory: &impl AsFd) -> io::Result<OwnedFd> {
    let copy = open_tree(directory, c"", COPY | OpenTreeFlags::AT_RECURSIVE)?;
    set_attributes(&copy, Forbids::MOUNT_ATTR_NODEV)?;
    Ok(copy)
}

/// What a mount forbids, in the kernel's words.
pub(crate) use rustix::mount::MountAttrFlags as Forbids;

/// A detached mount; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Detached(OwnedFd);

/// A new mount of what is mounted at a place, without the mounts below it.
const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

impl Detached {
    /// Mounts a new filesystem, such as `tmpfs` with `[("mode", "755")]`.
    pub(crate) fn new(kind: &str, options: &[(&str, &str)], forbids: Forbids) -> io::Result<Self> {
        Self::made(kind, Path::new(kind), options, None, forbids)
    }

    /// Mounts the filesystem of a block device, with options of it.
    ///
    /// For read-only access, the filesystem itself is read-only, so the device is not written: otherwise a read-only mount would
    /// still mark it as in use.
    pub(crate) fn of_device(
        kind: &str,
        device: &Path,
        options: &[(&str, &str)],
        access: Access,
        forbids: Forbids,
    ) -> io::Result<Self> {
        let flag = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        Self::made(kind, device, options, Some(flag), forbids)
    }

    fn made(
        kind: &str,
        source: &Path,
        options: &[(&str, &str)],
        flag: Option<&str>,
        forbids: Forbids,
    ) -> io::Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", source)?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        if let Some(flag) = flag {
            fsconfig_set_flag(&context, flag)?;
        }
        fsconfig_create(&context)?;
        Ok(Self(fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            forbids,
        )?))
    }

    /// Fails with `ENODEV` if the kernel has no such filesystem, built in or as a module.
    pub(crate) fn knows(kind: &str) -> io::Result<()> {
        Ok(fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(drop)?)
    }

    /// Makes a second mount of the directory or file of a descriptor, without the mounts below it.
    pub(crate) fn copy_of(place: &impl AsFd, forbids: Forbids) -> io::Result<Self> {
        let copy = open_tree(place, c"", COPY)?;
        set_attributes(&copy, forbids)?;
        Ok(Self(copy))
    }

    /// Attaches the mount to a directory or file and returns a descriptor of its root.
    pub(crate) fn attach(self, place: &impl AsFd) -> io::Result<OwnedFd> {
        let by_descriptor =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, c"", place, c"", by_descriptor)?;
        Ok(self.0)
    }

    /// Returns a descriptor of its root, for reading without attaching it.
    pub(crate) fn into_top(self) -> OwnedFd {
        self.0
    }
}

/// Sets attributes of a mount, and makes it private: otherwise mounts on the original would also appear in a copy of a shared
/// mount, and the other way round.
#[allow(unsafe_code)]
fn set_attributes(mount: &OwnedFd, forbids: Forbids) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: forbids.bits().into(),
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: mount_setattr(2) reads an empty NUL-terminated string and one struct of the size given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Ok(Errno::result(done).map(drop)?)
}
