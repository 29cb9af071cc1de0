//! Asking before what cannot be taken back.
//!
//! Nothing is asked unless standard input is a terminal: the answer is no then. Not for what is asked about.

use std::io::{BufRead, IsTerminal};

use anyhow::Result;

use crate::terminal;

/// Shows what would be done, and asks; returns why it is not confirmed.
pub(super) fn ask(steps: &[String]) -> Result<Result<(), &'static str>> {
    if !std::io::stdin().is_terminal() {
        return Ok(Err(
            "it has to be confirmed, and standard input is not a terminal",
        ));
    }
    for step in steps {
        terminal::show(format!("{}\n", terminal::line(step)).as_bytes());
    }
    terminal::show(b"Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("it was not confirmed"),
    })
}
