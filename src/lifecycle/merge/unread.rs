//! Paths that a merge could not compare.
//!
//! Not for those that nobody can open, because they are too long: a merge tells of them and leaves them as they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::btrfs::compare::TOO_DEEP;

/// Refuses paths that must not be read, as by the root user of a container: they would count as merged, and be lost.
pub(super) fn refuse_unread(unread: &BTreeSet<PathBuf>) -> Result<()> {
    /// A path that is too long is longer than that even without its last name, in bytes.
    const SHORT: usize = 2048;
    let is_forbidden =
        |path: &&PathBuf| path.as_os_str().len() < SHORT && **path != Path::new(TOO_DEEP);
    match unread.iter().find(is_forbidden) {
        Some(path) => bail!(
            "netbe may not read './{}': run it as root of this machine, not of a container",
            path.display()
        ),
        None => Ok(()),
    }
}
