//! Deletes subvolumes by ID, at any path, protected or not.
//!
//! `BTRFS_IOC_SNAP_DESTROY_V2` takes an ID, but the kernel builds a path from it and fails if that is too long. In
//! that case, and before Linux 5.7, the parent directory is opened by inode number and the name deleted. Protection
//! set from inside (read-only, immutable) is removed. A failure does not stop the rest; it is reported at the end.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::nested::{self, Nested, directory_in};
use super::{SUBVOLUME_INODE, opener};
use crate::btrfs::removal::NotRemoved;
use crate::fs::file_flags;
use crate::fs::opener::descriptor_path;

/// Deletes the open subvolume and the subvolumes in it; the kernel frees the space in the background.
///
/// Not durable: until the next [`super::sync`] a crash can restore the subvolume.
///
/// # Errors
/// Names what could not be deleted; everything else is.
pub fn delete_open(top: &(impl AsFd + AsRawFd)) -> io::Result<()> {
    let id = super::info(&descriptor_path(top))?.id;
    delete_nested(top, id)
}

/// Deletes a subvolume, by ID on the filesystem of `on`, and the subvolumes in it.
///
/// # Errors
/// As [`delete_open`].
pub fn delete_nested(on: &impl AsFd, id: u64) -> io::Result<()> {
    let subvolume = nested::find(on, id)?.ok_or(io::ErrorKind::NotFound)?;
    let mut not_removed = NotRemoved::default();
    for inner in nested::below(on, id)?.iter().rev() {
        if let Err(e) = destroy(on, inner) {
            not_removed.add(Path::new(&inner.name), &e);
        }
    }
    // If a nested subvolume could not be deleted, that is the reason, and reported already.
    if let Err(e) = destroy(on, &subvolume)
        && not_removed.is_empty()
    {
        not_removed.add(Path::new(""), &explained(e));
    }
    not_removed.into_result()
}

fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        // Not a missing permission: the kernel refuses to delete the default subvolume.
        Some(Errno::EPERM) => io::Error::new(
            error.kind(),
            format!("{error}; is it the default subvolume? (btrfs subvolume get-default)"),
        ),
        _ => error,
    }
}

/// Deletes a subvolume without nested ones.
fn destroy(on: &impl AsFd, one: &Nested) -> io::Result<()> {
    match destroy_unprotected(on, one) {
        Err(e) if has_errno(&e, Errno::EROFS) || has_errno(&e, Errno::EPERM) => {}
        done => return done,
    }
    let parent = directory_in(on, one.parent, SUBVOLUME_INODE)?;
    make_writable(&File::from(parent))?;
    let directory = directory_in(on, one.parent, one.directory)?;
    file_flags::unprotect(&directory);
    if let Ok(top) = directory_in(on, one.id, SUBVOLUME_INODE) {
        file_flags::unprotect(&top);
    }
    destroy_unprotected(on, one)
}

fn destroy_unprotected(on: &impl AsFd, one: &Nested) -> io::Result<()> {
    match destroy_by_id(on, one.id) {
        // EINVAL: a kernel without the flag.
        Err(Errno::ENAMETOOLONG | Errno::ENOTTY | Errno::EOPNOTSUPP | Errno::EINVAL) => {}
        done => return Ok(done?),
    }
    let directory = directory_in(on, one.parent, one.directory)?;
    Ok(destroy_by_name(&directory, &one.name)?)
}

fn has_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Removes the protection of a file and its directory; returns whether there was any.
pub fn make_changeable(directory: &impl AsFd, name: &OsStr) -> bool {
    let parent = file_flags::unprotect(directory) != 0;
    let target = match opener::directory_at(directory, name) {
        Ok(target) => file_flags::unprotect(&target) != 0,
        Err(_) => opener::o_path_at(directory, name)
            .and_then(|place| opener::reopen(&place, OFlag::O_RDONLY))
            .is_ok_and(|file| file_flags::unprotect(&file) != 0),
    };
    parent || target
}

/// `BTRFS_SUBVOL_RDONLY` of linux/btrfs.h.
const READ_ONLY: u64 = 1 << 1;

/// Returns whether an open subvolume is read-only: by one call, since a list checks thousands.
///
/// # Errors
/// `EINVAL` if it is a directory of another kind.
pub fn is_read_only(top: &File) -> io::Result<bool> {
    Ok(subvolume_flags(top)? & READ_ONLY != 0)
}

/// Makes a subvolume writable.
fn make_writable(top: &File) -> io::Result<()> {
    let flags = subvolume_flags(top)?;
    match flags & READ_ONLY {
        0 => Ok(()),
        _ => Ok(set_subvolume_flags(top, flags & !READ_ONLY)?),
    }
}

/// `struct btrfs_ioctl_vol_args` of linux/btrfs.h.
#[repr(C)]
struct Named {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2` of linux/btrfs.h, its union as a subvolume ID.
#[repr(C)]
struct Numbered {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    id: u64,
    rest: [u64; 504],
}

/// `BTRFS_SUBVOL_SPEC_BY_ID` of linux/btrfs.h.
const BY_ID: u64 = 1 << 4;

const _: () = assert!(size_of::<Named>() == 4096 && size_of::<Numbered>() == 4096);

mod call {
    use super::{Named, Numbered};

    nix::ioctl_write_ptr!(snap_destroy, 0x94, 15, Named);
    nix::ioctl_write_ptr!(snap_destroy_v2, 0x94, 63, Numbered);
    nix::ioctl_read!(subvol_getflags, 0x94, 25, u64);
    nix::ioctl_write_ptr!(subvol_setflags, 0x94, 26, u64);
}

#[allow(unsafe_code)]
fn destroy_by_id(on: &impl AsFd, id: u64) -> nix::Result<()> {
    let numbered = Box::new(Numbered {
        fd: 0,
        transid: 0,
        flags: BY_ID,
        unused: [0; 4],
        id,
        rest: [0; 504],
    });
    // SAFETY: the descriptor is borrowed during the call, and Numbered has the layout and size (asserted above)
    // of the structure the kernel reads; it keeps no pointer.
    unsafe { call::snap_destroy_v2(on.as_fd().as_raw_fd(), &raw const *numbered) }.map(drop)
}

#[allow(unsafe_code)]
fn destroy_by_name(directory: &impl AsFd, name: &OsStr) -> nix::Result<()> {
    let mut named = Box::new(Named {
        fd: 0,
        name: [0; 4088],
    });
    let bytes = name.as_bytes();
    let place = named.name.get_mut(..bytes.len());
    place.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(bytes);
    // SAFETY: as above, for Named; the name ends with a zero, because it has at most 255 bytes.
    unsafe { call::snap_destroy(directory.as_fd().as_raw_fd(), &raw const *named) }.map(drop)
}

#[allow(unsafe_code)]
fn subvolume_flags(top: &File) -> nix::Result<u64> {
    let mut flags = 0;
    // SAFETY: the descriptor is open during the call; the kernel writes one number.
    unsafe { call::subvol_getflags(top.as_raw_fd(), &raw mut flags) }.map(|_| flags)
}

#[allow(unsafe_code)]
fn set_subvolume_flags(top: &File, flags: u64) -> nix::Result<()> {
    // SAFETY: the descriptor is open during the call; the kernel reads one number.
    unsafe { call::subvol_setflags(top.as_raw_fd(), &raw const flags) }.map(drop)
}
