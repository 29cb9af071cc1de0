//! The failures that callers branch on, with their exit status and an optional hint.
//!
//! Any other error is an [`anyhow::Error`] and ends with status 1. Not for printing, which `main` does.

use std::{fmt, io};

/// Exit status of a refusal by a safety rule; nothing was changed.
pub const REFUSED: u8 = 3;
/// Exit status when a pool, node or environment does not exist.
pub const NOT_FOUND: u8 = 4;
/// Exit status when another netbe holds the lock.
pub const LOCKED: u8 = 5;

/// The kind of a failure, by which the exit status is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The arguments are invalid (status 2).
    Usage,
    /// A safety rule refused, and nothing was changed (status 3).
    Refused,
    /// No such pool, node or environment (status 4).
    NotFound,
    /// Another netbe holds the lock (status 5).
    Locked,
    /// Any other failure with a hint (status 1).
    Failed,
    /// A status chosen by the caller.
    Status(u8),
}

/// A failure with its kind, one sentence, and a hint.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of the failure.
    pub kind: Kind,
    /// The message: what happened to which thing, without a final period.
    pub message: String,
    /// A command to paste.
    pub hint: Option<String>,
}

impl Failure {
    /// Returns a refusal by a safety rule.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// Returns the failure for a thing that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Returns the failure for a lock that another process holds.
    pub fn locked(message: impl Into<String>) -> Self {
        Self::new(Kind::Locked, message)
    }

    /// Returns the failure for invalid arguments.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Returns an ordinary failure, to add a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Returns a failure with a chosen status, such as the 125 of `run`.
    pub fn with_status(status: u8, message: impl Into<String>) -> Self {
        Self::new(Kind::Status(status), message)
    }

    /// Adds the hint, printed on a separate line after `hint:`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint, and before it, to the message, what its command does.
    #[must_use]
    pub fn hint_to(mut self, does: impl fmt::Display, command: impl Into<String>) -> Self {
        self.message = format!("{}; {does}", self.message);
        self.hint(command)
    }

    /// Returns the exit status of this kind.
    pub fn status(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Refused => REFUSED,
            Kind::NotFound => NOT_FOUND,
            Kind::Locked => LOCKED,
            Kind::Failed => 1,
            Kind::Status(status) => status,
        }
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }
}

/// Returns whether an error is a failure of a kind.
pub fn is(error: &anyhow::Error, kind: Kind) -> bool {
    let failure = error.downcast_ref::<Failure>();
    failure.is_some_and(|failure| failure.kind == kind)
}

/// Adds a hint to a failure without one.
pub fn hinted(error: anyhow::Error, hint: impl FnOnce() -> String) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) if failure.hint.is_none() => failure.hint(hint()).into(),
        Ok(failure) => failure.into(),
        Err(error) => error,
    }
}

/// Returns whether an error means that the reader, such as head(1), has closed the pipe early.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
