//! Waiting for what others do, on a machine of any speed.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take that is not what a test measures: a machine with much to do is no fault.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
///
/// # Panics
///
/// When it does not after a minute; `what` says what was waited for.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(5));
    }
}
