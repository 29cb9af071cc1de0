//! Messages for people on standard error: notes, warnings, errors and hints, and the line that says what a command is at.
//!
//! The settings of a whole run, set once from the command line: colour, and the pool that printed commands name.

use std::io::stderr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use unicode_width::UnicodeWidthChar;

use super::{show, text};

/// Whether the kinds of messages are coloured.
static COLOURED: AtomicBool = AtomicBool::new(false);

/// Whether a line is drawn that is to go before anything else is printed.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// Draws a clean line in place of the one that was drawn last, cut to the terminal; [`undraw`], and any message, take it away.
pub fn draw(line: &str) {
    show(format!("\r\x1b[K{}", fitting(line)).as_bytes());
    DRAWN.store(true, Ordering::Relaxed);
}

/// Returns the part of a clean line that the terminal shows on one line: the rest would stay when it is drawn again.
pub fn fitting(line: &str) -> &str {
    let width = terminal_size::terminal_size_of(stderr()).map_or(80, |(w, _)| usize::from(w.0));
    // A full line would take two.
    beginning(line, width.saturating_sub(1))
}

/// Returns the beginning of a clean text that is no wider than this, in columns of a terminal.
pub fn beginning(text: &str, width: usize) -> &str {
    let mut left = width;
    let ends = text.char_indices().find(|(_, c)| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        !fits
    });
    &text[..ends.map_or(text.len(), |(at, _)| at)]
}

/// Takes the line away that was drawn, if one is there.
pub fn undraw() {
    if DRAWN.swap(false, Ordering::Relaxed) {
        show(b"\r\x1b[K");
    }
}

/// Has [`say`] colour the kind of a message from now on.
pub fn colour_messages(on: bool) {
    COLOURED.store(on, Ordering::Relaxed);
}

/// The pool that the command line names, as an option.
static POOL: OnceLock<String> = OnceLock::new();

/// Has [`with_pool`] name a pool from now on, by this word of a shell.
pub fn name_pool(word: &str) {
    // A process has one command line.
    let _ = POOL.set(format!("--pool {word}"));
}

/// Returns a text whose commands name the pool of the command line: without it, pasted commands would use another pool.
pub fn with_pool(text: &str) -> String {
    match POOL.get() {
        Some(pool) if !text.contains("--pool ") => with_option(text, pool),
        _ => text.to_string(),
    }
}

fn with_option(text: &str, pool: &str) -> String {
    let named = format!("netbe {pool} ");
    let inner = [": ", "; ", " && "]
        .iter()
        .fold(text.to_string(), |text, before| {
            text.replace(&format!("{before}netbe "), &format!("{before}{named}"))
        });
    match inner.strip_prefix("netbe ") {
        Some(rest) => format!("{named}{rest}"),
        None => inner,
    }
}

/// Returns the kind of a message in its colour: errors, warnings and hints are found at a glance.
fn in_colour(kind: &str) -> String {
    let colour = match kind {
        _ if !COLOURED.load(Ordering::Relaxed) => return text(kind),
        "error" => "\x1b[1m\x1b[31m",
        "warning" => "\x1b[1m\x1b[35m",
        "hint" => "\x1b[1m\x1b[36m",
        _ => return text(kind),
    };
    format!("{colour}{kind}\x1b[0m")
}

/// Prints a note, a warning, an error or a hint to standard error.
///
/// Lines after the first are indented, so that they cannot imitate a message of netbe.
pub fn say(kind: &str, message: &str) {
    let message = with_pool(message);
    let mut lines = message.split('\n');
    let first = lines.next().unwrap_or_default();
    let mut all = format!("{}: {}\n", in_colour(kind), text(first));
    for more in lines.filter(|more| !more.is_empty()) {
        let blanks = if more.starts_with("  ") { "" } else { "  " };
        all.push_str(&format!("{blanks}{}\n", text(more)));
    }
    undraw();
    show(all.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_pool_that_was_named() {
        let named = |text: &str| with_option(text, "--pool /mnt/p");
        for (text, want) in [
            ("netbe list nog", "netbe --pool /mnt/p list nog"),
            (
                "Created nog/a. To boot it next: netbe activate nog/a",
                "Created nog/a. To boot it next: netbe --pool /mnt/p activate nog/a",
            ),
            (
                "mount /dev/x && netbe init",
                "mount /dev/x && netbe --pool /mnt/p init",
            ),
            ("it was not made by netbe", "it was not made by netbe"),
            ("mv /a /b", "mv /a /b"),
        ] {
            assert_eq!(named(text), want);
        }
    }
}
