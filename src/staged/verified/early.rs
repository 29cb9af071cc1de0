//! The verification of an environment whose root half is a disk image, without the lock of its node.
//!
//! A program reads the image, which takes long or, if a machine has damaged it, minutes. What was found holds under the lock
//! as long as nothing of what was read has changed since; else the environment is verified again, under the lock. Not for
//! halves of files, which netbe reads itself.

use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use crate::btrfs::subvolume;
use crate::images::DISK;
use crate::pool::{Environment, Node, Pool};

/// The reasons against booting a disk image, and the state that they were found in.
#[derive(Debug)]
pub struct Early {
    seen: String,
    reasons: Vec<String>,
}

impl Early {
    /// Verifies an environment without a lock; `None` if it is no disk image.
    pub fn verify(pool: &Pool, node: &Node, env: &Environment) -> Result<Option<Self>> {
        if !env.is_image() || node.is_template() {
            return Ok(None);
        }
        // Before it is read: a change in between counts as one.
        let seen = seen(pool, node, env)?;
        let reasons = super::reasons(pool, node, env)?;
        Ok(Some(Self { seen, reasons }))
    }

    /// Returns the reasons, if nothing was changed since.
    pub(super) fn reasons_now(
        self,
        pool: &Pool,
        node: &Node,
        env: &Environment,
    ) -> Option<Vec<String>> {
        let is_same = seen(pool, node, env).is_ok_and(|now| now == self.seen);
        is_same.then_some(self.reasons)
    }
}

/// Returns all that a verification depends on, as a text to compare: the records, the image and the boot half.
fn seen(pool: &Pool, node: &Node, env: &Environment) -> Result<String> {
    subvolume::sync(&env.boot())?;
    let boot = subvolume::info(&env.boot())?;
    let image = env.root().join(DISK).symlink_metadata()?;
    Ok(serde_json::to_string(&(
        (pool.record(), &node.record, &env.record, &env.problems),
        (boot.uuid.to_string(), boot.generation),
        (image.ino(), image.size(), image.ctime(), image.ctime_nsec()),
    ))?)
}
