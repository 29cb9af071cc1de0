//! Progress lines of parallel work.
//!
//! On a terminal each line is redrawn in place as it changes, and stays at the end; elsewhere each result is printed
//! once, and progress is not.

use std::time::{Duration, Instant};

use crate::terminal;

/// The shortest interval between two updates.
const EVERY: Duration = Duration::from_millis(100);

/// The lines, by name.
#[derive(Debug)]
pub struct Lines {
    rows: Vec<(String, String)>,
    on: bool,
    drawn: Option<Instant>,
    stale: bool,
}

impl Lines {
    /// Returns lines for these names; with `on` they are redrawn in place.
    pub fn new(names: &[&str], on: bool) -> Self {
        let rows = names
            .iter()
            .map(|name| ((*name).to_string(), "waiting".to_string()))
            .collect();
        Self {
            rows,
            on,
            drawn: None,
            stale: false,
        }
    }

    /// Shows the state of one name; a `passing` state is shown only on a terminal.
    pub fn say(&mut self, name: &str, what: &str, passing: bool) {
        if !self.on {
            if !passing {
                terminal::say(name, what);
            }
            return;
        }
        if let Some((_, text)) = self.rows.iter_mut().find(|(n, _)| n == name) {
            *text = terminal::line(what);
        }
        self.stale = true;
        if !passing || self.drawn.is_none_or(|d| d.elapsed() >= EVERY) {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let longest = self.rows.iter().map(|(n, _)| n.len()).max().unwrap_or(0);
        let mut text = String::new();
        if self.drawn.is_some() {
            text.push_str(&format!("\x1b[{}A", self.rows.len()));
        }
        for (name, what) in &self.rows {
            let line = format!("{name:<longest$}  {what}");
            text.push_str(&format!("\r\x1b[K{}\n", terminal::fitting(&line)));
        }
        terminal::show(text.as_bytes());
        self.drawn = Some(Instant::now());
        self.stale = false;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.on && self.stale {
            self.draw();
        }
    }
}
