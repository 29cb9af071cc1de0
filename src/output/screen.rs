//! Standard output, for answers, and standard error, for messages.
//!
//! Not for their texts.

use std::io::{self, IsTerminal};

use super::busy::Busy;
use super::table::Look;
use crate::terminal;

/// The amount of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Only errors and warnings.
    Quiet,
    /// The default.
    Normal,
    /// Details too.
    Verbose,
}

/// Standard output and error of one run.
#[derive(Debug)]
pub struct Screen {
    talk: Talk,
    /// How answers are drawn.
    pub look: Look,
}

impl Screen {
    /// Returns the screen of this process.
    pub fn new(talk: Talk, look: Look) -> Self {
        Self { talk, look }
    }

    /// Returns the amount of messages.
    pub fn talks(&self) -> Talk {
        self.talk
    }

    /// Prints an answer; colours in it are netbe's own.
    ///
    /// # Errors
    /// The system's; a closed pipe is `BrokenPipe`.
    pub fn answer(&self, text: &str) -> io::Result<()> {
        print(text, self.look.colour)
    }

    /// Prints a table of what was done; colours in it are netbe's own.
    ///
    /// # Errors
    /// As those of [`Self::answer`].
    pub fn report(&self, text: &str) -> io::Result<()> {
        match self.talk {
            Talk::Quiet => Ok(()),
            _ => self.answer(text),
        }
    }

    /// Prints the one sentence with the result.
    pub fn sentence(&self, text: &str) -> io::Result<()> {
        match self.talk {
            Talk::Quiet => Ok(()),
            _ => print(&format!("{}\n", terminal::with_pool(text)), false),
        }
    }

    /// Prints the steps of a dry run; without steps, a message on standard error.
    pub fn plan(&self, steps: &[String]) -> io::Result<()> {
        if steps.is_empty() {
            self.notes(&["nothing would be done".to_string()]);
        }
        let mut text = String::new();
        for step in steps {
            text.push_str("would ");
            text.push_str(step);
            text.push('\n');
        }
        print(&text, false)
    }

    /// Prints notes.
    pub fn notes(&self, notes: &[String]) {
        if self.talk != Talk::Quiet {
            for note in notes {
                terminal::say("note", note);
            }
        }
    }

    /// Prints a detail, with `--verbose` only.
    pub fn detail(&self, text: &str) {
        if self.talk == Talk::Verbose {
            terminal::say("note", text);
        }
    }

    /// Prints warnings.
    pub fn warnings(&self, warnings: &[String]) {
        for warning in warnings {
            terminal::say("warning", warning);
        }
    }

    /// Prints an error that did not end the command, with its hint.
    pub fn failed(&self, error: &anyhow::Error, hint: Option<&str>) {
        terminal::say("error", &format!("{error:#}"));
        if let Some(hint) = hint {
            terminal::say("hint", hint);
        }
    }

    /// Runs work that prints nothing itself; on a terminal, shows what it does if it takes long.
    pub fn busy<T>(&self, what: impl std::fmt::Display, work: impl FnOnce() -> T) -> T {
        let _shown = Busy::new(self.draws_progress(), &what.to_string());
        work()
    }

    /// Returns whether progress is drawn.
    pub fn draws_progress(&self) -> bool {
        self.talk != Talk::Quiet && io::stderr().is_terminal()
    }
}

fn print(text: &str, coloured: bool) -> io::Result<()> {
    terminal::answer(text, coloured)
        .map_err(|e| io::Error::new(e.kind(), format!("writing to standard output: {e}")))
}
