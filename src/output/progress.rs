//! A progress line on a terminal.

use std::time::{Duration, Instant};

use crate::terminal;

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

    /// Shows the current phase.
    pub fn phase(&mut self, what: &str) {
        self.phase = terminal::line(what);
        self.begun = Instant::now();
        self.drawn = None;
        self.draw("");
    }

    /// Shows how much of it is done, in bytes.
    pub fn advance(&mut self, done: u64, total: Option<u64>) {
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

    fn draw(&mut self, text: &str) {
        if self.on {
            terminal::show(format!("\r\x1b[K{} {text}", self.phase).as_bytes());
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.on {
            terminal::show(b"\r\x1b[K");
        }
    }
}

/// Returns a human-readable size, in powers of 1024.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    let mut rest = 0;
    while value >= 1024 && unit + 1 < units.len() {
        rest = value % 1024 * 10 / 1024;
        value /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{value} B"),
        _ => format!("{value}.{rest} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_with_one_digit_after_the_point() {
        for (count, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1535, "1.4 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (12_949_914, "12.3 MiB"),
            (88 << 20, "88.0 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), want, "{count}");
        }
    }
}
