//! Shows the current step of a command on a terminal, if it takes longer than a second and has no progress line.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::terminal;

/// The time before the line is first shown, and between two updates.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line with the current step. Dropping this removes the line, and must happen before anything else is printed.
#[derive(Debug)]
pub struct Busy {
    /// Dropping the sender ends the thread.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Busy {
    /// Starts the timer; without `on` nothing is shown. `what` begins with a capital letter: `Making nog/first`.
    pub fn new(on: bool, what: &str) -> Self {
        let running = on.then(|| {
            let (ended, ends) = channel();
            let what = terminal::line(what);
            let begun = Instant::now();
            let work = move || {
                while ends.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    terminal::draw(&format!("{what}, {} s", begun.elapsed().as_secs()));
                }
                terminal::undraw();
            };
            // Without the thread only this line is missing.
            std::thread::Builder::new()
                .spawn(work)
                .ok()
                .map(|thread| (ended, thread))
        });
        Self {
            running: running.flatten(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.running.take() {
            drop(ended);
            let _ = thread.join();
        }
    }
}
