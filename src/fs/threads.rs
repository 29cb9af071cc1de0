//! Starts threads, which the kernel may refuse: a cgroup's limit on processes counts threads too.
//!
//! The standard library's shorter functions panic in that case.

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Starts a thread.
///
/// # Errors
/// If the kernel refuses.
pub fn start<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().spawn(work).map_err(|e| refused(&e))
}

/// Starts a thread that ends within a scope.
///
/// # Errors
/// If the kernel refuses.
pub fn start_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .spawn_scoped(scope, work)
        .map_err(|e| refused(&e))
}

fn refused(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("starting a thread: {error}"))
}

/// Returns this thread's processor time, which measures a loop also on a busy machine.
#[cfg(test)]
pub(crate) fn processor_time() -> std::time::Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    let now = nix::time::clock_gettime(clock).expect("each thread has this clock");
    now.into()
}
