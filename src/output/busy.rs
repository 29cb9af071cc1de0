//! What a command is at, on a terminal, where it takes longer than a second and has no progress of its own to show.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::terminal;

/// How long nothing is shown, and between two updates.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that says it; gone when this is dropped, which is to be before anything else is printed.
#[derive(Debug)]
pub struct Busy {
    /// Dropped first: that ends the thread.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Busy {
    /// Begins; without `on` nothing is ever shown. `what` begins with a capital letter: `Making nog/first`.
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
            // A command does its work without it.
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
