//! Protects netbe's own file from changes by programs in a sandbox.
//!
//! A script whose first line names `/proc/self/exe` makes the kernel run the file of the process that starts
//! it: netbe's, on the server. Through `/proc/PID/exe` the file's mode or owner could be changed (as in
//! CVE-2019-5736). So the first stage and its children run from a second, read-only mount of the file.
//! Emulators are not protected by this.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use crate::fs::mounts::{Detached, Forbids};

/// The running program's file.
const OWN_EXE: &str = "/proc/self/exe";

/// Opens the file on a read-only mount, to be executed by its descriptor.
///
/// # Errors
/// Fails if the mount cannot be made, or the file was replaced since netbe was started.
pub(super) fn open() -> io::Result<OwnedFd> {
    let open_path = open_path(Path::new(OWN_EXE))?;
    match read_only(&open_path) {
        // The file is on a mount of another namespace, which this process has left: open it by its name.
        Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => {
            let named = self::open_path(&std::fs::read_link(OWN_EXE)?)?;
            let (one, other) = (fstat(&open_path)?, fstat(&named)?);
            if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino) {
                return Err(io::Error::other(
                    "the file was replaced since netbe was started",
                ));
            }
            read_only(&named)
        }
        made => made,
    }
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(openat(AT_FDCWD, path, flags, Mode::empty())?)
}

fn read_only(open_path: &impl AsFd) -> io::Result<OwnedFd> {
    let forbids =
        Forbids::MOUNT_ATTR_RDONLY | Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV;
    Ok(Detached::copy_of(open_path, forbids)?.into_top())
}
