//! Where sentences go: answers to standard output, talk to standard error.
//!
//! Not for what they say.

use std::io::{self, IsTerminal, Write};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Only what is wrong.
    Quiet,
    /// The usual.
    Normal,
    /// What else there is to know, too.
    Verbose,
}

/// Standard output and error of one run.
#[derive(Debug)]
pub struct Screen {
    talk: Talk,
    /// Whether standard output takes colour.
    pub colour: bool,
}

impl Screen {
    /// Returns the screen of this process.
    pub fn new(talk: Talk, colour: bool) -> Self {
        Self { talk, colour }
    }

    /// Returns how much is said.
    pub fn talks(&self) -> Talk {
        self.talk
    }

    /// Prints an answer as it is.
    ///
    /// # Errors
    /// Of the kind the system has; a closed pipe is `BrokenPipe`.
    pub fn answer(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|e| io::Error::new(e.kind(), format!("writing to standard output: {e}")))
    }

    /// Prints the one sentence that says what was done.
    pub fn sentence(&self, text: &str) -> io::Result<()> {
        match self.talk {
            Talk::Quiet => Ok(()),
            _ => self.answer(&format!("{text}\n")),
        }
    }

    /// Prints the steps of a dry run; where there are none, says so beside the answer.
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
        self.answer(&text)
    }

    /// Prints what else there is to know.
    pub fn notes(&self, notes: &[String]) {
        if self.talk != Talk::Quiet {
            for note in notes {
                talk("note", note);
            }
        }
    }

    /// Prints what only those who asked for more want to know.
    pub fn detail(&self, text: &str) {
        if self.talk == Talk::Verbose {
            talk("note", text);
        }
    }

    /// Prints what is not as it should be.
    pub fn warnings(&self, warnings: &[String]) {
        for warning in warnings {
            talk("warning", warning);
        }
    }

    /// Prints an error that did not end the command, with what to do about it.
    pub fn failed(&self, error: &anyhow::Error, hint: Option<&str>) {
        talk("error", &format!("{error:#}"));
        if let Some(hint) = hint {
            talk("hint", hint);
        }
    }

    /// Returns whether progress may be drawn.
    pub fn draws_progress(&self) -> bool {
        self.talk != Talk::Quiet && io::stderr().is_terminal()
    }
}

fn talk(kind: &str, text: &str) {
    // A closed standard error is nobody's problem but the reader's.
    let _ = writeln!(io::stderr(), "{kind}: {text}");
}
