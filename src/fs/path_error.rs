//! I/O errors with the path they concern.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// An error number and its path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", path.display(), io::Error::from(*errno))]
struct Named {
    errno: Errno,
    path: PathBuf,
}

pub(super) fn with_path(errno: Errno, path: &Path) -> io::Error {
    let path = path.to_path_buf();
    io::Error::new(io::Error::from(errno).kind(), Named { errno, path })
}

/// Returns what was found; `None` if it does not exist.
pub fn if_exists<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Returns the error with its path.
pub fn at_path(error: &io::Error, path: &Path) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => with_path(Errno::from_raw(errno), path),
        None => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

/// Returns the number of an error of the system, with a path or without.
pub fn errno_of(error: &io::Error) -> Option<Errno> {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Named>());
    let errno = inner.map(|named| named.errno);
    errno.or_else(|| error.raw_os_error().map(Errno::from_raw))
}

/// Returns whether the system failed (I/O, memory, space, permission), rather than the path being of another type or missing.
pub fn is_system_error(error: &io::Error) -> bool {
    errno_of(error).is_some_and(|errno| {
        matches!(
            errno,
            Errno::EIO
                | Errno::EUCLEAN
                | Errno::EBADMSG
                | Errno::ENOSPC
                | Errno::EROFS
                | Errno::ENOMEM
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::EPERM
                | Errno::EACCES
                | Errno::ENOSYS
                | Errno::ESHUTDOWN
        )
    })
}
