//! Makes files and directories by name in an open directory.

use std::ffi::OsStr;
use std::fs::File;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

/// Makes and opens a directory.
pub(super) fn make_directory(to: &File, name: &OsStr) -> nix::Result<File> {
    mkdirat(to, name, Mode::S_IRWXU)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(to, name, flags, Mode::empty()).map(File::from)
}

/// Makes an empty file and opens it for writing.
pub(super) fn make_file(to: &File, name: &OsStr) -> nix::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
}
