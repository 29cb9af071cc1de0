//! The flags of a file that chattr(1) sets: no copy-on-write, append only, immutable and their like.
//!
//! By descriptor. Not for flags that a filesystem sets itself.

use std::ffi::{OsStr, c_int};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::opener;

/// `FS_IMMUTABLE_FL` of linux/fs.h.
pub const IMMUTABLE: c_int = 0x10;
/// `FS_APPEND_FL` and `FS_IMMUTABLE_FL` of linux/fs.h, which protect a file from changes.
pub const PROTECTED: c_int = 0x20 | IMMUTABLE;
/// `FS_NOCOW_FL`, which can be set only while a file is empty.
pub const NO_COPY_ON_WRITE: c_int = 0x0080_0000;
/// The flags that users set, and btrfs keeps: `COMPR`, `SYNC`, `IMMUTABLE`, `APPEND`, `NODUMP`, `NOATIME`, `NOCOMP`,
/// `DIRSYNC` and `NOCOW`.
pub const KEPT: c_int = 0x4 | 0x8 | PROTECTED | 0x40 | 0x80 | 0x400 | 0x1_0000 | NO_COPY_ON_WRITE;

/// Returns the flags of an open file or directory.
pub fn get(file: &impl AsFd) -> io::Result<c_int> {
    Ok(ioctl_getflags(file)?.bits().cast_signed())
}

/// Sets the flags of an open file or directory, all at once.
pub fn set(file: &impl AsFd, flags: c_int) -> io::Result<()> {
    let flags = IFlags::from_bits_retain(flags.cast_unsigned());
    Ok(ioctl_setflags(file, flags)?)
}

/// Removes the flags that protect an open file or directory from changes, and returns them: 0 where there were none.
pub fn unprotect(file: &impl AsFd) -> c_int {
    let Ok(flags) = get(file) else {
        return 0;
    };
    match flags & PROTECTED {
        0 => 0,
        protection => set(file, flags & !PROTECTED).map_or(0, |()| protection),
    }
}

/// Adds flags to those of an open file or directory.
pub fn add(file: &impl AsFd, flags: c_int) -> io::Result<()> {
    set(file, get(file)? | flags)
}

/// Repeats a failed change of a directory's entry without the flags of either that forbid it. Afterwards the directory gets
/// its flags again, and with `keeps` also the file that then has the name. `None` if no flag was the cause of `error`.
pub fn without_protection<T>(
    error: &io::Error,
    directory: &impl AsFd,
    name: &OsStr,
    keeps: bool,
    change: impl Fn() -> io::Result<T>,
) -> Option<io::Result<T>> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let entry = || match opener::file_at(directory, name) {
        Ok(Some(file)) => Some(file.into()),
        _ => opener::directory_at(&directory.as_fd(), name).ok(),
    };
    let of_entry = entry().map_or(0, |entry: OwnedFd| unprotect(&entry));
    let of_directory = unprotect(directory);
    if (of_entry, of_directory) == (0, 0) {
        return None;
    }
    let done = change();
    // Best effort: the change itself has succeeded.
    if keeps
        && of_entry != 0
        && let Some(entry) = entry()
    {
        let _ = add(&entry, of_entry);
    }
    if of_directory != 0 {
        let _ = add(directory, of_directory);
    }
    Some(done)
}
