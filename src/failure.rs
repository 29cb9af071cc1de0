//! The failures a caller branches on, each with its exit status and, where there is one, a remedy.
//!
//! Everything else is an [`anyhow::Error`] and ends with status 1. Not for printing: `main` does that,
//! once.

use std::fmt;

/// Exit status of a refusal by a safety rule; nothing was changed.
pub const REFUSED: u8 = 3;
/// Exit status when a pool, node or environment does not exist.
pub const NOT_FOUND: u8 = 4;
/// Exit status when another netbe holds the lock.
pub const LOCKED: u8 = 5;

/// Why a command ended without doing its work, as far as scripts tell kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The arguments make no sense together (status 2).
    Usage,
    /// A safety rule said no, and nothing was changed (status 3).
    Refused,
    /// No such pool, node or environment (status 4).
    NotFound,
    /// Another netbe holds the lock (status 5).
    Locked,
    /// Anything else (status 1); used where only a hint is to be carried.
    Failed,
    /// A status of the caller's own choosing.
    Status(u8),
}

/// A failure with its kind, one sentence, and what to do about it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What kind of failure this is.
    pub kind: Kind,
    /// What happened to which thing, without a final period.
    pub message: String,
    /// A command that can be pasted, or what to look at.
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

    /// Returns the failure for a lock held by somebody else.
    pub fn locked(message: impl Into<String>) -> Self {
        Self::new(Kind::Locked, message)
    }

    /// Returns the failure for arguments that make no sense together.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Returns an ordinary failure, to be given a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Returns a failure with a status of its own, such as the 125 of `run`.
    pub fn with_status(status: u8, message: impl Into<String>) -> Self {
        Self::new(Kind::Status(status), message)
    }

    /// Adds the remedy, printed on a line of its own behind `hint:`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the exit status the contract gives this kind.
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

/// Adds a remedy to a failure that has none.
pub fn hinted(error: anyhow::Error, hint: impl FnOnce() -> String) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) if failure.hint.is_none() => failure.hint(hint()).into(),
        Ok(failure) => failure.into(),
        Err(error) => error,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
