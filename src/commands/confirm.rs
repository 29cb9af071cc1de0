//! The confirmation question before what cannot be undone. Without a terminal on standard input the answer is no.

use std::io::{BufRead, IsTerminal};

use anyhow::Result;

use crate::terminal;

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Go on.
    Yes,
    /// Do nothing, which is no error.
    No,
    /// Nobody could be asked.
    NoTerminal,
}

/// Why nothing is done where nobody could be asked.
pub(super) const NO_TERMINAL: &str = "it needs confirmation, and standard input is not a terminal";

/// Prints the steps and asks.
pub(super) fn ask(steps: &[String]) -> Result<Answer> {
    if !std::io::stdin().is_terminal() {
        return Ok(Answer::NoTerminal);
    }
    for step in steps {
        terminal::show(format!("{}\n", terminal::line(step)).as_bytes());
    }
    terminal::show(b"Continue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(match answer.trim() {
        "y" | "Y" | "yes" => Answer::Yes,
        _ => Answer::No,
    })
}
