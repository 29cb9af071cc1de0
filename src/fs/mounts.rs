//! The kernel's descriptor-based mount calls, which `nix` lacks. Requires Linux 5.12.
//!
//! A mount is made detached, as a descriptor, and attached to a descriptor: no path is resolved twice, so
//! nothing in an untrusted root can move the mount elsewhere in between.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fmt, io};

use nix::libc;

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
    let forbids = Forbids::SETUID.and(Forbids::DEVICES);
    let forbids = match access {
        Access::ReadOnly => forbids.and(Forbids::WRITING),
        Access::ReadWrite => forbids,
    };
    let what = CString::new(what.as_os_str().as_bytes())?;
    let mount = Detached(open_tree(libc::AT_FDCWD, &what)?);
    mount.restrict(forbids)?;
    mount.attach(place).map(drop)
}

/// What a mount forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbids(u64);

impl Forbids {
    /// Set-user-ID programs and file capabilities have no effect.
    pub(crate) const SETUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// Device nodes cannot be opened.
    pub(crate) const DEVICES: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// Programs cannot be executed.
    pub(crate) const PROGRAMS: Self = Self(libc::MOUNT_ATTR_NOEXEC);
    /// Read-only.
    pub(crate) const WRITING: Self = Self(libc::MOUNT_ATTR_RDONLY);

    /// Returns both restrictions together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A detached mount; unmounted when dropped.
pub(crate) struct Detached(OwnedFd);

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detached({})", self.0.as_raw_fd())
    }
}

impl Detached {
    /// Mounts a new filesystem, such as `tmpfs` with `[("mode", "755")]`.
    pub(crate) fn new(kind: &str, options: &[(&str, &str)], forbids: Forbids) -> io::Result<Self> {
        let context = open_file_system(kind)?;
        configure(&context, SET_STRING, Some(("source", kind)))?;
        for (key, value) in options {
            configure(&context, SET_STRING, Some((key, value)))?;
        }
        configure(&context, CREATE, None)?;
        mount_of(&context, forbids).map(Self)
    }

    /// Mounts the filesystem of a block device.
    ///
    /// Where it is read-only, the device is not written: a mount that forbids writing alone would mark it as in use.
    pub(crate) fn of_device(
        kind: &str,
        device: &Path,
        access: Access,
        forbids: Forbids,
    ) -> io::Result<Self> {
        Self::of_device_with(kind, device, &[], access, forbids)
    }

    /// Mounts the filesystem of a block device, with options of it.
    pub(crate) fn of_device_with(
        kind: &str,
        device: &Path,
        options: &[(&str, &str)],
        access: Access,
        forbids: Forbids,
    ) -> io::Result<Self> {
        let device = device.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let context = open_file_system(kind)?;
        configure(&context, SET_STRING, Some(("source", device)))?;
        for (key, value) in options {
            configure(&context, SET_STRING, Some((key, value)))?;
        }
        let flag = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        set_flag(&context, flag)?;
        configure(&context, CREATE, None)?;
        mount_of(&context, forbids).map(Self)
    }

    /// Fails with `ENODEV` where the kernel has no such filesystem, nor a module with it.
    pub(crate) fn knows(kind: &str) -> io::Result<()> {
        open_file_system(kind).map(drop)
    }

    /// Makes a second mount of what a descriptor is open on, without the mounts below it.
    pub(crate) fn copy_of(place: &impl AsFd, forbids: Forbids) -> io::Result<Self> {
        let copy = Self(open_tree(place.as_fd().as_raw_fd(), c"")?);
        copy.restrict(forbids)?;
        Ok(copy)
    }

    /// Attaches the mount to a directory or file and returns a descriptor of its root.
    pub(crate) fn attach(self, place: &impl AsFd) -> io::Result<OwnedFd> {
        move_mount(self.0.as_raw_fd(), place.as_fd().as_raw_fd())?;
        Ok(self.0)
    }

    /// Returns a descriptor of its root, for reading without attaching it.
    pub(crate) fn into_top(self) -> OwnedFd {
        self.0
    }

    fn restrict(&self, forbids: Forbids) -> io::Result<()> {
        set_attributes(self.0.as_raw_fd(), forbids.0)
    }
}

/// `FSCONFIG_SET_FLAG`, `FSCONFIG_SET_STRING` and `FSCONFIG_CMD_CREATE` of linux/mount.h, which the libc crate does not name.
const SET_FLAG: libc::c_uint = 0;
const SET_STRING: libc::c_uint = 1;
const CREATE: libc::c_uint = 6;

#[allow(unsafe_code)]
fn open_file_system(kind: &str) -> io::Result<OwnedFd> {
    let kind = CString::new(kind)?;
    // SAFETY: fsopen(2) reads a NUL-terminated string that outlives the call and returns a descriptor.
    descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) })
}

#[allow(unsafe_code)]
fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    option: Option<(&str, &str)>,
) -> io::Result<()> {
    let (key, value) = option
        .map(|(k, v)| Ok::<_, io::Error>((CString::new(k)?, CString::new(v)?)))
        .transpose()?
        .unzip();
    let pointer = |s: &Option<CString>| s.as_ref().map_or(std::ptr::null(), |s| s.as_ptr());
    // SAFETY: fsconfig(2) reads two NUL-terminated strings, or null where the command takes none; both
    // are owned by this frame.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            pointer(&key),
            pointer(&value),
            0,
        )
    })
}

#[allow(unsafe_code)]
fn set_flag(context: &OwnedFd, flag: &str) -> io::Result<()> {
    let flag = CString::new(flag)?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: fsconfig(2) reads a NUL-terminated string that this frame owns; a flag has no value.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            SET_FLAG,
            flag.as_ptr(),
            none,
            0,
        )
    })
}

#[allow(unsafe_code)]
fn mount_of(context: &OwnedFd, forbids: Forbids) -> io::Result<OwnedFd> {
    // SAFETY: fsmount(2) takes three integers and returns a descriptor.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            libc::FSMOUNT_CLOEXEC,
            forbids.0,
        )
    })
}

#[allow(unsafe_code)]
fn open_tree(place: RawFd, path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::O_CLOEXEC as libc::c_uint
        | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: open_tree(2) reads a NUL-terminated string that outlives the call and returns a descriptor.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, place, path.as_ptr(), flags) })
}

#[allow(unsafe_code)]
fn move_mount(mount: RawFd, place: RawFd) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: move_mount(2) reads two empty NUL-terminated strings; everything else is an integer.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount,
            c"".as_ptr(),
            place,
            c"".as_ptr(),
            flags,
        )
    })
}

/// Sets attributes of a mount, and has it be nobody's peer: a copy of a shared mount would show what is mounted on the one on
/// the other, too.
#[allow(unsafe_code)]
fn set_attributes(mount: RawFd, set: u64) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: mount_setattr(2) reads an empty NUL-terminated string and one struct of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
}

#[allow(unsafe_code)]
fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(result).unwrap_or(-1);
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
