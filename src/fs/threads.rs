//! Starting threads, which the kernel may refuse: a control group's limit on processes is one on threads, too.
//!
//! The standard library's shorter forms panic then, in the middle of whatever was being done.

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Starts a thread.
///
/// # Errors
/// When the kernel has none to give.
pub fn start<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().spawn(work).map_err(|e| refused(&e))
}

/// Starts a thread that ends within a scope.
///
/// # Errors
/// When the kernel has none to give.
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
