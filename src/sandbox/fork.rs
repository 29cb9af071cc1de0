//! Forking a process that has one thread.

use std::io;

use nix::unistd::{ForkResult, fork};

/// Splits the first stage, or what was forked from it, in two.
#[allow(unsafe_code)]
pub(super) fn split() -> io::Result<ForkResult> {
    // SAFETY: this process was started as the first stage, or forked from it, and has no second thread (the
    // gate has, and never comes here), so the child finds every lock free.
    Ok(unsafe { fork() }?)
}
