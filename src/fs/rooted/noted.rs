//! A [`Tree`] that records whether anything would be changed, instead of changing it.
//!
//! Reads return the unchanged content: only for callers that do not read back their own changes. Not for which changes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Tree;

/// Whether a change was requested.
#[derive(Debug, Default)]
pub(super) struct Noted(AtomicBool);

impl Tree {
    /// Records changes instead of making them.
    #[must_use]
    pub fn noting(mut self) -> Self {
        self.noted = Some(Noted::default());
        self
    }

    /// Returns whether a requested change is only recorded, and records it.
    pub fn notes_change(&self) -> bool {
        self.noted.as_ref().is_some_and(|Noted(any)| {
            any.store(true, Ordering::Relaxed);
            true
        })
    }

    /// Returns whether a change was recorded.
    pub fn has_noted(&self) -> bool {
        let noted = self.noted.as_ref();
        noted.is_some_and(|Noted(any)| any.load(Ordering::Relaxed))
    }
}
