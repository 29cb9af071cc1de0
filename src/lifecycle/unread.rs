//! Paths that could not be compared.
//!
//! Not for those that nobody can open, because they are too long: whoever compares tells of them, and leaves them as they are.

use anyhow::{Result, bail};

use crate::btrfs::compare::Unread;

/// Refuses paths that must not be read, as by the root user of a container: they would count as the same, and be lost.
pub(super) fn refuse_unread(unread: &Unread) -> Result<()> {
    for (path, why) in unread {
        if let Some(why) = why {
            bail!(
                "netbe may not read './{}' ({why}): run it as root of this machine, not of a container",
                path.display()
            );
        }
    }
    Ok(())
}
