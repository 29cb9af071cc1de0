//! What failed, with its path.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use nix::errno::Errno;

/// What failed, with its path.
#[derive(Debug)]
struct Named {
    errno: Errno,
    path: PathBuf,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.path.display(),
            io::Error::from(self.errno)
        )
    }
}

impl std::error::Error for Named {}

pub(super) fn named(errno: Errno, path: &Path) -> io::Error {
    let path = path.to_path_buf();
    io::Error::new(io::Error::from(errno).kind(), Named { errno, path })
}

/// Returns an error with the path it is about.
pub fn at_path(error: &io::Error, path: &Path) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => named(Errno::from_raw(errno), path),
        None => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

/// Returns whether it is the machine that failed, and not that something else stands there than was looked for.
pub fn is_of_the_machine(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Named>());
    let errno = inner.map(|named| named.errno);
    let errno = errno.or_else(|| error.raw_os_error().map(Errno::from_raw));
    errno.is_some_and(|errno| {
        matches!(
            errno,
            Errno::EIO
                | Errno::EUCLEAN
                | Errno::EBADMSG
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
