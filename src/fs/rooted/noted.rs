//! A [`Tree`] whose changes are noted, and not made: whether anything would be.
//!
//! What is read goes on being as it is: only for what does not read back what it has just changed. Not for which changes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Tree;

/// Whether a change was asked for.
#[derive(Debug, Default)]
pub(super) struct Noted(AtomicBool);

impl Tree {
    /// Notes changes in the place of making them.
    #[must_use]
    pub fn noting(mut self) -> Self {
        self.noted = Some(Noted::default());
        self
    }

    /// Returns whether a change that is asked for now is only noted, and notes it.
    pub fn notes_change(&self) -> bool {
        self.noted.as_ref().is_some_and(|Noted(any)| {
            any.store(true, Ordering::Relaxed);
            true
        })
    }

    /// Returns whether a change was noted.
    pub fn has_noted(&self) -> bool {
        let noted = self.noted.as_ref();
        noted.is_some_and(|Noted(any)| any.load(Ordering::Relaxed))
    }
}
