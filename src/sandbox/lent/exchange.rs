//! Exchanges two names in a directory, or renames to a free name, also on filesystems that cannot do it by one call.
//!
//! Not for files of several directories.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat, renameat2};
use nix::sys::stat::fstatat;

/// Exchanges two names of a directory: by one call, where the filesystem can.
///
/// fuse2fs(1) cannot, but there atomicity is not needed: its filesystem is thrown away if netbe is killed.
pub(super) fn exchange(directory: &OwnedFd, one: &str, other: &str) -> nix::Result<()> {
    let rename = |from: &str, to: &str| renameat(directory, from, directory, to);
    match renameat2(
        directory,
        one,
        directory,
        other,
        RenameFlags::RENAME_EXCHANGE,
    ) {
        Err(Errno::EINVAL) => {
            let between = format!("{one}-exchanged");
            rename(other, &between)?;
            rename(one, other)?;
            rename(&between, one)
        }
        done => done,
    }
}

/// Gives a file of a directory a name that nothing has.
pub(super) fn move_to_free(directory: &OwnedFd, from: &str, to: &str) -> nix::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(directory, from, directory, to, flags) {
        Err(Errno::EINVAL) => match fstatat(directory, to, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => renameat(directory, from, directory, to),
            Err(e) => Err(e),
            Ok(_) => Err(Errno::EEXIST),
        },
        done => done,
    }
}
