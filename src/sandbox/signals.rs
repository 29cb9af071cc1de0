//! Counts the signals that tell netbe to stop while sandboxes run.
//!
//! Several sandboxes may run at once, on threads; each sees every signal. The earlier handlers are restored
//! after the last sandbox has ended. An ignored signal stays ignored (`nohup`).

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

/// How many times each watched signal was received.
static RECEIVED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// The number of `Watch`es, and the actions to restore after the last.
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

    /// Returns a signal received since the last call; several of one kind count once.
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

/// Repeats a call that a signal has interrupted.
pub(super) fn retry_interrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
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
    // SAFETY: the handler only adds to an atomic counter, which is async-signal-safe.
    let before = unsafe { sigaction(signal, &action) }.ok()?;
    if matches!(before.handler(), SigHandler::SigIgn) {
        restore(signal, &before);
        return None;
    }
    Some((signal, before))
}

#[allow(unsafe_code)]
fn restore(signal: Signal, before: &SigAction) {
    // SAFETY: restores the action that the kernel returned.
    let _ = unsafe { sigaction(signal, before) };
}

/// Sets every signal to its default; a program inherits ignored ones.
#[allow(unsafe_code)]
pub(super) fn reset_signals() -> io::Result<()> {
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
