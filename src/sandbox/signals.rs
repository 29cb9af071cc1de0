//! The signals that tell netbe to stop, seen while a sandbox runs.
//!
//! Several sandboxes may run at once, on threads; all of them learn of a signal. What was set up before
//! the first began is back after the last has ended. A signal that was ignored stays so (`nohup`).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};

const WATCHED: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGWINCH,
];

/// How often each watched signal has come, since this program began.
static RECEIVED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// How many watch, and what to put back after the last.
static WATCHING: Mutex<(usize, Vec<(Signal, SigAction)>)> = Mutex::new((0, Vec::new()));

/// Watches until dropped.
#[derive(Debug)]
pub(super) struct Watch {
    seen: [usize; 4],
}

impl Watch {
    pub(super) fn begin() -> Self {
        let mut watching = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
        if watching.0 == 0 {
            watching.1 = WATCHED.iter().filter_map(|s| install(*s)).collect();
        }
        watching.0 += 1;
        Self { seen: received() }
    }

    /// Returns a signal that has come since the last question; each is returned once.
    pub(super) fn next(&mut self) -> Option<Signal> {
        let now = received();
        let number = (0..WATCHED.len()).find(|n| now[*n] != self.seen[*n])?;
        self.seen[number] = now[number];
        Some(WATCHED[number])
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watching = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
        watching.0 -= 1;
        if watching.0 == 0 {
            for (signal, before) in watching.1.drain(..) {
                restore(signal, &before);
            }
        }
    }
}

fn received() -> [usize; 4] {
    std::array::from_fn(|n| RECEIVED[n].load(Ordering::SeqCst))
}

/// Makes a call again as long as a signal comes between.
pub(super) fn whatever_comes<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            answered => return answered,
        }
    }
}

extern "C" fn note(signal: c_int) {
    if let Some(number) = WATCHED.iter().position(|s| *s as c_int == signal) {
        RECEIVED[number].fetch_add(1, Ordering::SeqCst);
    }
}

#[allow(unsafe_code)]
fn install(signal: Signal) -> Option<(Signal, SigAction)> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only adds to an atomic counter, which is allowed at any moment.
    let before = unsafe { sigaction(signal, &action) }.ok()?;
    if matches!(before.handler(), SigHandler::SigIgn) {
        restore(signal, &before);
        return None;
    }
    Some((signal, before))
}

#[allow(unsafe_code)]
fn restore(signal: Signal, before: &SigAction) {
    // SAFETY: puts back what the kernel has told us was installed before.
    let _ = unsafe { sigaction(signal, before) };
}

/// A program starts with every signal at its default; ignored ones would stay so for all it starts.
#[allow(unsafe_code)]
pub(super) fn forget_signals() -> io::Result<()> {
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: sets a default disposition; no handler of ours is involved.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
        }
    }
    Ok(sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::empty()),
        None,
    )?)
}
