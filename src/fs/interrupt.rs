//! Stop requests: SIGINT, SIGTERM and SIGHUP.
//!
//! The signals only set a flag. Long work checks it and ends with an error, so that stages remove themselves.
//! Leftovers of SIGKILL are hidden, and removed by `check --repair`.

use std::io::{self, Read};
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static REQUESTED: AtomicI32 = AtomicI32::new(0);

extern "C" fn record(signal: i32) {
    REQUESTED.store(signal, Ordering::Relaxed);
}

/// Installs handlers: SIGINT, SIGTERM and SIGHUP cause [`check`]'s error instead of killing the process.
#[allow(unsafe_code)]
pub fn install() {
    // Without SA_RESTART: a wait for a child process or a lock must return to check the flag.
    let action = SigAction::new(
        SigHandler::Handler(record),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does one atomic store, which is async-signal-safe, and replaces the default action only.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Records a signal that a sandbox received while a program ran in it.
pub fn request(signal: Signal) {
    record(signal as i32);
}

/// Fails after a stop request.
///
/// # Errors
/// Names the signal.
pub fn check() -> Result<()> {
    match requested() {
        None => Ok(()),
        Some(signal) => bail!("stopped by {signal}"),
    }
}

/// Fails after a stop request, with an I/O error.
///
/// Not of kind `Interrupted`, which readers retry.
pub fn check_io() -> std::io::Result<()> {
    match requested() {
        None => Ok(()),
        Some(signal) => Err(std::io::Error::other(format!("stopped by {signal}"))),
    }
}

/// Returns the signal by which a stop was requested.
pub fn requested() -> Option<Signal> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        number => Signal::try_from(number).ok(),
    }
}

/// A reader of content of any length that fails after a stop request.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
}

impl<R: Read> Reader<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> Self {
        Self { inner }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            check_io()?;
            match self.inner.read(buf) {
                // Decoders would take it for the end.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}
