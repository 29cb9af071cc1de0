//! Deleting subvolumes by number, wherever they stand, and with whatever was done to keep them.
//!
//! `BTRFS_IOC_SNAP_DESTROY_V2` takes a number; the kernel makes a path of it all the same, and fails where that is longer
//! than paths are. There, and before Linux 5.7, the directory is opened by number instead, and its name deleted. What is in
//! the way and was put there from inside (read-only, immutable) is taken out of it. Nothing is given up half-way: what
//! stays is told when all the rest has gone.

use std::ffi::{OsStr, c_int, c_long};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::nested::{self, Nested, directory_in};
use super::{SUBVOLUME_INODE, failed, opener};
use crate::btrfs::removal::Stayed;
use crate::fs::opener::descriptor_path;

/// Deletes a subvolume and the subvolumes in it; space comes back in the background.
///
/// Not durable by itself: a crash can bring the subvolume back until the next [`super::sync`].
///
/// # Errors
/// Names what stayed; all that could go has gone.
pub fn delete(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let cannot = |e: io::Error| failed("cannot delete subvolume", path, e);
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    let top = opener::directory(above)
        .and_then(|above| Ok(opener::directory_at(&above, name)?))
        .map_err(cannot)?;
    delete_open(&top).map_err(cannot)
}

/// Deletes the subvolume whose top is open, and the subvolumes in it.
///
/// # Errors
/// As [`delete`].
pub fn delete_open(top: &(impl AsFd + AsRawFd)) -> io::Result<()> {
    let id = super::info(&descriptor_path(top))?.id;
    delete_nested(top, id)
}

/// Deletes a subvolume of the filesystem that `on` is open on, by its number, and the subvolumes in it.
///
/// # Errors
/// As [`delete`].
pub fn delete_nested(on: &impl AsFd, id: u64) -> io::Result<()> {
    let itself = nested::standing(on, id)?.ok_or(io::ErrorKind::NotFound)?;
    let mut stayed = Stayed::default();
    for inner in nested::below(on, id)?.iter().rev() {
        if let Err(e) = destroy(on, inner) {
            stayed.note(Path::new(&inner.name), &e);
        }
    }
    // Where something in it stayed, that keeps it, and is told.
    if let Err(e) = destroy(on, &itself)
        && stayed.is_empty()
    {
        stayed.note(Path::new(""), &explained(e));
    }
    stayed.end()
}

fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        // Root lacks no permission: the kernel keeps the one that is mounted where none is named.
        Some(Errno::EPERM) => io::Error::new(
            error.kind(),
            format!("{error}; is it the filesystem's default one? (btrfs subvolume get-default)"),
        ),
        _ => error,
    }
}

/// Deletes one that has no others in it any more.
fn destroy(on: &impl AsFd, one: &Nested) -> io::Result<()> {
    match destroy_as_it_is(on, one) {
        Err(e) if is(&e, Errno::EROFS) || is(&e, Errno::EPERM) => {}
        done => return done,
    }
    let parent = directory_in(on, one.parent, SUBVOLUME_INODE)?;
    make_writable(&File::from(parent))?;
    let directory = directory_in(on, one.parent, one.directory)?;
    unlock(&directory);
    if let Ok(top) = directory_in(on, one.id, SUBVOLUME_INODE) {
        unlock(&top);
    }
    destroy_as_it_is(on, one)
}

fn destroy_as_it_is(on: &impl AsFd, one: &Nested) -> io::Result<()> {
    match by_number(on, one.id) {
        // EINVAL: a kernel that does not know the flag.
        Err(Errno::ENAMETOOLONG | Errno::ENOTTY | Errno::EOPNOTSUPP | Errno::EINVAL) => {}
        done => return Ok(done?),
    }
    let directory = directory_in(on, one.parent, one.directory)?;
    Ok(by_name(&directory, &one.name)?)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Lets what stands under a name, and the directory, be changed again; whether that was needed.
pub fn make_changeable(directory: &impl AsFd, name: &OsStr) -> bool {
    let above = unlock(directory);
    let below = match opener::directory_at(directory, name) {
        Ok(below) => unlock(&below),
        Err(_) => opener::o_path_at(directory, name)
            .and_then(|place| opener::reopen(&place, OFlag::O_RDONLY))
            .is_ok_and(|file| unlock(&file)),
    };
    above || below
}

/// `FS_APPEND_FL` and `FS_IMMUTABLE_FL` of linux/fs.h.
const LOCKED: c_int = 0x20 | 0x10;

/// Takes the flags away that keep a file or directory from being changed; whether there were any.
fn unlock(file: &impl AsFd) -> bool {
    let Ok(flags) = flags_of(file) else {
        return false;
    };
    flags & LOCKED != 0 && set_flags(file, flags & !LOCKED).is_ok()
}

/// `BTRFS_SUBVOL_RDONLY` of linux/btrfs.h.
const READ_ONLY: u64 = 1 << 1;

/// Lets things be changed in a subvolume again.
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

/// `struct btrfs_ioctl_vol_args_v2` of linux/btrfs.h, its union as the number of a subvolume.
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
    use super::{Named, Numbered, c_int, c_long};

    nix::ioctl_write_ptr!(snap_destroy, 0x94, 15, Named);
    nix::ioctl_write_ptr!(snap_destroy_v2, 0x94, 63, Numbered);
    nix::ioctl_read!(subvol_getflags, 0x94, 25, u64);
    nix::ioctl_write_ptr!(subvol_setflags, 0x94, 26, u64);
    // Of linux/fs.h: named for a long, and an int all the same.
    nix::ioctl_read_bad!(
        getflags,
        nix::request_code_read!(b'f', 1, size_of::<c_long>()),
        c_int
    );
    nix::ioctl_write_ptr_bad!(
        setflags,
        nix::request_code_write!(b'f', 2, size_of::<c_long>()),
        c_int
    );
}

#[allow(unsafe_code)]
fn by_number(on: &impl AsFd, id: u64) -> nix::Result<()> {
    let numbered = Box::new(Numbered {
        fd: 0,
        transid: 0,
        flags: BY_ID,
        unused: [0; 4],
        id,
        rest: [0; 504],
    });
    // SAFETY: the descriptor is borrowed for the call's time, and Numbered has the layout and size (asserted above) of
    // the structure the kernel reads; it keeps no pointer.
    unsafe { call::snap_destroy_v2(on.as_fd().as_raw_fd(), &raw const *numbered) }.map(drop)
}

#[allow(unsafe_code)]
fn by_name(directory: &impl AsFd, name: &OsStr) -> nix::Result<()> {
    let mut named = Box::new(Named {
        fd: 0,
        name: [0; 4088],
    });
    let bytes = name.as_bytes();
    let place = named.name.get_mut(..bytes.len());
    place.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(bytes);
    // SAFETY: as above, for Named; the name ends with a zero, because it is no longer than 255 bytes.
    unsafe { call::snap_destroy(directory.as_fd().as_raw_fd(), &raw const *named) }.map(drop)
}

#[allow(unsafe_code)]
fn subvolume_flags(top: &File) -> nix::Result<u64> {
    let mut flags = 0;
    // SAFETY: the descriptor is open for the call's time; the kernel writes the one number it is given the place of.
    unsafe { call::subvol_getflags(top.as_raw_fd(), &raw mut flags) }.map(|_| flags)
}

#[allow(unsafe_code)]
fn set_subvolume_flags(top: &File, flags: u64) -> nix::Result<()> {
    // SAFETY: the descriptor is open for the call's time; the kernel reads the one number.
    unsafe { call::subvol_setflags(top.as_raw_fd(), &raw const flags) }.map(drop)
}

#[allow(unsafe_code)]
fn flags_of(file: &impl AsFd) -> nix::Result<c_int> {
    let mut flags = 0;
    // SAFETY: the descriptor is borrowed for the call's time; the kernel writes an int, whatever its request says.
    unsafe { call::getflags(file.as_fd().as_raw_fd(), &raw mut flags) }.map(|_| flags)
}

#[allow(unsafe_code)]
fn set_flags(file: &impl AsFd, flags: c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is borrowed for the call's time; the kernel reads an int, whatever its request says.
    unsafe { call::setflags(file.as_fd().as_raw_fd(), &raw const flags) }.map(drop)
}
