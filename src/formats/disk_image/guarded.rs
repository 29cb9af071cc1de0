//! Panics while an untrusted image is read, as errors.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use anyhow::{Result, anyhow};

thread_local! {
    /// Whether a panic of this thread is turned into an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic while reading an image into an error: a check may be missing in this code or a crate.
pub(super) fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    // A panic message is of no use here; those of other threads are shown as before.
    QUIET.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                previous(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err(anyhow!("the image's {what} is damaged: it makes no sense")))
}
