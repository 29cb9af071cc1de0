//! This program's own file, as the sandbox's first processes are started from it: nothing of it can be changed by that.
//!
//! A script whose first line names `/proc/self/exe` has the kernel run the program of whoever starts it: netbe's own,
//! the server's file, inside and as an ordinary process there. By its `/proc/PID/exe` the file could be given another
//! mode or owner (CVE-2019-5736 is of that kind). So the first stage, and all it forks, run from a second mount of the
//! file that is read-only. Not for the emulators that this machine runs foreign programs by.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use crate::fs::mounts::{Detached, Forbids};

/// Who runs here, by the file that the kernel has.
const ITSELF: &str = "/proc/self/exe";

/// Returns it, to be started by its descriptor.
///
/// # Errors
/// Where no second mount of it can be made, or another file stands in its place by now.
pub(super) fn open() -> io::Result<OwnedFd> {
    let place = place(Path::new(ITSELF))?;
    match read_only(&place) {
        // Of another mount namespace, which this process has left since it was started: found in this one by its name.
        Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => {
            let named = self::place(&std::fs::read_link(ITSELF)?)?;
            let (one, other) = (fstat(&place)?, fstat(&named)?);
            if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino) {
                return Err(io::Error::other("its file has been replaced since"));
            }
            read_only(&named)
        }
        made => made,
    }
}

fn place(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(openat(AT_FDCWD, path, flags, Mode::empty())?)
}

fn read_only(place: &impl AsFd) -> io::Result<OwnedFd> {
    let forbids = Forbids::WRITING.and(Forbids::SETUID).and(Forbids::DEVICES);
    Ok(Detached::copy_of(place, forbids)?.into_top())
}
