//! Forking a process that has one thread.

use std::io;

use nix::unistd::{ForkResult, fork};

/// Forks the first stage, or a process forked from it.
#[allow(unsafe_code)]
pub(super) fn fork_single_threaded() -> io::Result<ForkResult> {
    // SAFETY: this process was started as the first stage, or forked from it, and has no second thread (the
    // gate has, and never comes here), so the child finds every lock free.
    Ok(unsafe { fork() }?)
}
