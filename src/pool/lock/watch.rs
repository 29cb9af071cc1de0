//! Detects changes of a pool while it is read without a lock.
//!
//! Not for which part was changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::flock::is_marked;
use crate::pool::layout;

/// Detects whether the pool was changed since it was made.
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
        // Read in this order, a lock that is taken in between is detected by the mark.
        let marks = marks(&locks);
        let held = marks.keys().any(|name| is_marked(&locks.join(name)));
        Self { locks, held, marks }
    }

    /// Returns whether a lock was held at the beginning, or was taken since.
    pub fn saw_a_change(&self) -> bool {
        // Taking a lock writes to its file.
        self.held || marks(&self.locks) != self.marks
    }
}

fn marks(locks: &Path) -> BTreeMap<OsString, SystemTime> {
    let entries = std::fs::read_dir(locks).into_iter().flatten().flatten();
    entries
        .filter_map(|e| Some((e.file_name(), e.metadata().ok()?.modified().ok()?)))
        .collect()
}
