//! A progress line on a terminal.

use std::time::{Duration, Instant};

use crate::lifecycle::import::unpack::Progress;
use crate::terminal::{self, bytes};

/// The shortest interval between two updates.
const EVERY: Duration = Duration::from_millis(100);

/// A line that is redrawn in place, and removed at the end.
#[derive(Debug)]
pub struct Line {
    on: bool,
    phase: String,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Line {
    /// Returns a line; without `on` it draws nothing.
    pub fn new(on: bool) -> Self {
        Self {
            on,
            phase: String::new(),
            begun: Instant::now(),
            drawn: None,
        }
    }

    fn draw(&mut self, text: &str) {
        if self.on {
            terminal::draw(&format!("{} {text}", self.phase));
            self.drawn = Some(Instant::now());
        }
    }
}

impl Progress for Line {
    fn phase(&mut self, what: &str) {
        self.phase = terminal::line(what);
        self.begun = Instant::now();
        self.drawn = None;
        self.draw("");
    }

    fn advance(&mut self, done: u64, total: Option<u64>) {
        if self.drawn.is_some_and(|d| d.elapsed() < EVERY) {
            return;
        }
        let text = match total {
            Some(total) if total > 0 => format!(
                "{} of {} ({} %)",
                bytes(done),
                bytes(total),
                done.min(total) * 100 / total
            ),
            _ => bytes(done),
        };
        let rate = done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        self.draw(&format!("{text}, {}/s", bytes(rate as u64)));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.on {
            terminal::undraw();
        }
    }
}
