//! Reading and writing that can take for ever, and ends when netbe is asked to stop.
//!
//! A signal interrupts one thread's call, and not always the one that waits. So each wait is short, and whether to go
//! on is asked between two. Not for files of the pool: a disk answers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::interrupt;

/// How long one wait is, in milliseconds.
const WAIT: u16 = 200;
/// What a pipe that can be written to takes without waiting, in bytes: `PIPE_BUF`, pipe(7).
const AT_ONCE: usize = 4096;

/// Reads a file, pipe or socket.
#[derive(Debug)]
pub struct Reader {
    file: File,
    enough: Arc<AtomicBool>,
}

impl Reader {
    /// Returns a reader of what is open, and the flag that ends it when somebody raises it.
    pub fn new(file: File) -> (Self, Arc<AtomicBool>) {
        let enough = Arc::new(AtomicBool::new(false));
        let reader = Self {
            file,
            enough: Arc::clone(&enough),
        };
        (reader, enough)
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        await_one(self.file.as_fd(), PollFlags::POLLIN, || {
            match self.enough.load(Ordering::Relaxed) {
                true => Err(io::Error::other("nobody wants more of it")),
                false => Ok(()),
            }
        })?;
        self.file.read(buf)
    }
}

/// Writes to a pipe or socket.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Returns a writer to what is open.
    pub fn new(file: File) -> Self {
        Self { file }
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        await_one(self.file.as_fd(), PollFlags::POLLOUT, || Ok(()))?;
        self.file.write(&buf[..buf.len().min(AT_ONCE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Waits until something can be done, or is closed, or nobody wants it done any more.
fn await_one(
    fd: BorrowedFd<'_>,
    what: PollFlags,
    wanted: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        interrupt::check_io()?;
        wanted()?;
        let mut fds = [PollFd::new(fd, what)];
        match poll(&mut fds, PollTimeout::from(WAIT)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}
