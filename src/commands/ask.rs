//! The confirmation question before an irreversible change. Without a terminal on standard input the answer is no.

use std::io::{BufRead, IsTerminal};

use anyhow::Result;

use super::session::Session;
use crate::terminal;

/// Why nothing is done where nobody could be asked.
pub(super) const NO_TERMINAL: &str = "it needs confirmation, and standard input is not a terminal";

/// Prints the steps and asks; returns whether to go on, or `None` where nobody could be asked. A no is no error, and
/// answered with `nothing`.
pub(super) fn ask(session: &Session, steps: &[String], nothing: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    for step in steps {
        terminal::show(format!("{}\n", terminal::line(step)).as_bytes());
    }
    terminal::show(b"Continue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    let goes_on = matches!(answer.trim(), "y" | "Y" | "yes");
    if !goes_on {
        session.sentence(nothing)?;
    }
    Ok(Some(goes_on))
}
