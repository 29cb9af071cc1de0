//! Showing a directory in a second place, by descriptors.
//!
//! With the kernel's newer mount calls (open_tree(2), mount_setattr(2), move_mount(2), Linux 5.12) the
//! place is a descriptor, so that a link swapped in at its path meanwhile cannot move the mount elsewhere,
//! and the mount is never there without its restrictions.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

/// Whether what is mounted can be written through the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
}

/// Mounts the directory `what` on the directory `place` is open on; devices and set-user-ID programs in
/// it have no effect there.
pub fn bind(what: &Path, place: &impl AsFd, access: Access) -> io::Result<()> {
    let what = CString::new(what.as_os_str().as_bytes())?;
    let tree = clone_of(&what)?;
    restrict(&tree, access)?;
    attach(&tree, place)
}

#[allow(unsafe_code)]
fn clone_of(what: &CString) -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string alive for the call; the answer is a new descriptor or -1.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            what.as_ptr(),
            libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC,
        )
    };
    let fd = i32::try_from(fd).map_err(|_| io::Error::other("open_tree"))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: checked above; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn restrict(tree: &OwnedFd, access: Access) -> io::Result<()> {
    let read_only = match access {
        Access::ReadOnly => libc::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => 0,
    };
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | read_only,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the descriptor is open, the empty path is a C string, and the structure is passed with its
    // own size; the kernel only reads it.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(answer)
}

#[allow(unsafe_code)]
fn attach(tree: &OwnedFd, place: &impl AsFd) -> io::Result<()> {
    // SAFETY: both descriptors are open for the call's time and both paths are C strings.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            place.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    checked(answer)
}

fn checked(answer: i64) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
