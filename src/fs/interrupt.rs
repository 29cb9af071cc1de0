//! Being asked to stop: ^C, a hang-up, a polite kill.
//!
//! The signals only raise a flag; long work looks at it and ends with an error, so that stages remove
//! themselves on the way out. Not for SIGKILL: what that leaves is hidden and `check --repair`'s.

use std::io::{self, Read};
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static ASKED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: i32) {
    ASKED.store(signal, Ordering::Relaxed);
}

/// Turns SIGINT, SIGTERM and SIGHUP from sudden death into [`check`]'s error.
#[allow(unsafe_code)]
pub fn install() {
    // Without SA_RESTART: a wait for a child or a lock must come back to look.
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but one atomic store, which is async-signal-safe, and it
        // replaces the default action only.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Takes note of a signal that somebody else has caught: a sandbox does while a program runs in it.
pub fn ask(signal: Signal) {
    note(signal as i32);
}

/// Ends the work in hand when a signal has asked for it.
///
/// # Errors
/// Names the signal.
pub fn check() -> Result<()> {
    match asked() {
        None => Ok(()),
        Some(signal) => bail!("stopped by {signal}"),
    }
}

/// Ends the work in hand when a signal has asked for it, where errors are of input and output.
///
/// Not of kind `Interrupted`: readers take that for an invitation to try again.
pub fn check_io() -> std::io::Result<()> {
    match asked() {
        None => Ok(()),
        Some(signal) => Err(std::io::Error::other(format!("stopped by {signal}"))),
    }
}

/// Returns the signal that asked this process to stop.
pub fn asked() -> Option<Signal> {
    match ASKED.load(Ordering::Relaxed) {
        0 => None,
        number => Signal::try_from(number).ok(),
    }
}

/// Reads what is a node's to choose how long it is, and ends when netbe is asked to stop.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
}

impl<R: Read> Reader<R> {
    /// Returns a reader of the same.
    pub fn new(inner: R) -> Self {
        Self { inner }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        check_io()?;
        self.inner.read(buf)
    }
}
