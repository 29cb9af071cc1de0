//! Whether a pool was changed while it was read: reading takes no lock, and wants to know.
//!
//! Not for who changed what.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::flock::is_marked;
use crate::pool::layout;

/// Tells whether anybody changed the pool while something was read of it.
#[derive(Debug)]
pub struct Watch {
    locks: PathBuf,
    held: bool,
    marks: BTreeMap<OsString, SystemTime>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin(state: &Path) -> Self {
        let locks = layout::locks(state);
        // In this order: what is taken between the two is seen by the mark at the latest.
        let marks = marks(&locks);
        let held = marks.keys().any(|name| is_marked(&locks.join(name)));
        Self { locks, held, marks }
    }

    /// Returns whether a lock was held when it began, or has been taken since.
    pub fn saw_a_change(&self) -> bool {
        // Whoever takes a lock writes into its file.
        self.held || marks(&self.locks) != self.marks
    }
}

fn marks(locks: &Path) -> BTreeMap<OsString, SystemTime> {
    let entries = std::fs::read_dir(locks).into_iter().flatten().flatten();
    entries
        .filter_map(|e| Some((e.file_name(), e.metadata().ok()?.modified().ok()?)))
        .collect()
}
