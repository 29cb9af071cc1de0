//! Reads and writes that may block for ever, ended by a stop request.
//!
//! A signal interrupts one thread's system call, not always the one that blocks. So each wait is short, and the
//! stop request is checked in between. Files of the pool do not need this.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::interrupt;

/// Length of one wait, in milliseconds.
const WAIT: u16 = 200;
/// Bytes that a pipe ready for writing takes without blocking: `PIPE_BUF`, pipe(7).
const PIPE_BUF: usize = 4096;

/// Reads a file, pipe or socket.
#[derive(Debug)]
pub struct Reader {
    file: File,
    cancelled: Arc<AtomicBool>,
}

impl Reader {
    /// Returns a reader, and a flag that makes it fail.
    pub fn new(file: File) -> (Self, Arc<AtomicBool>) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let reader = Self {
            file,
            cancelled: Arc::clone(&cancelled),
        };
        (reader, cancelled)
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        wait_ready(self.file.as_fd(), PollFlags::POLLIN, || {
            match self.cancelled.load(Ordering::Relaxed) {
                true => Err(io::Error::other("reading was cancelled")),
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
    /// Returns a writer.
    pub fn new(file: File) -> Self {
        Self { file }
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        wait_ready(self.file.as_fd(), PollFlags::POLLOUT, || Ok(()))?;
        self.file.write(&buf[..buf.len().min(PIPE_BUF)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Waits until the descriptor is ready or closed, a stop is requested, or `check` fails.
fn wait_ready(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    check: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        interrupt::check_io()?;
        check()?;
        let mut fds = [PollFd::new(fd, events)];
        match poll(&mut fds, PollTimeout::from(WAIT)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}
