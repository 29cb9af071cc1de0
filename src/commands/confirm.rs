//! The confirmation question before what cannot be undone. Without a terminal on standard input the answer is no.

use std::io::{BufRead, IsTerminal};

use anyhow::Result;

use crate::terminal;

/// Prints the steps and asks; returns the reason if it is not confirmed.
pub(super) fn ask(steps: &[String]) -> Result<Result<(), &'static str>> {
    if !std::io::stdin().is_terminal() {
        return Ok(Err(
            "it needs confirmation, and standard input is not a terminal",
        ));
    }
    for step in steps {
        terminal::show(format!("{}\n", terminal::line(step)).as_bytes());
    }
    terminal::show(b"Continue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("it was not confirmed"),
    })
}
