//! The properties that an environment is completed by, and whether they are still those of its node and its pool.
//!
//! The programs that read and make disk images take minutes, so an image is completed without the lock of its node, and
//! again if the properties changed meanwhile. Not for halves of files, which are completed by the lock.

use anyhow::Result;

use super::{Complete, Content, Home, StagedEnvironment};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{NodeLock, NodeName, Pool};
use crate::staged::{Identity, root_image};

impl StagedEnvironment {
    /// Returns its node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Reads the node's properties again: they may have been set in the meantime.
    pub fn look_again(&mut self, lock: &NodeLock) -> Result<()> {
        lock.ensure_protects(&self.node)?;
        self.look_unlocked()
    }

    /// Reads the node's properties again, without its lock: they can change before the environment is published.
    pub fn look_unlocked(&mut self) -> Result<()> {
        self.pool = self.pool.again()?;
        if matches!(self.home, Home::Node(_)) {
            let node = self.pool.node(&self.node)?;
            node.refuse_lost()?;
            self.record = node.record;
        }
        Ok(())
    }

    /// Returns whether programs run while halves with this record are completed: a disk image is read, or made.
    pub fn runs_programs(&self, before: &EnvRecord) -> Result<bool> {
        let becomes = root_image::wanted(&self.pool, &self.record, before)?;
        Ok(before.image.is_some() || becomes.is_some())
    }

    /// Returns whether the properties are still those by which it was completed.
    pub fn is_current(&self, complete: &Complete) -> Result<bool> {
        Ok(complete.by == properties(&self.pool, &self.record)?)
    }

    /// Completes it by the present properties, after it was completed by others.
    ///
    /// # Errors
    /// Those of [`Self::complete`].
    pub fn complete_again(&self, done: Complete) -> Result<Complete> {
        let mut again = self.complete(Content {
            record: done.record.clone(),
            before: done.record.clone(),
            identity: Identity::Same,
        })?;
        // Its halves are no further snapshots.
        again.record.snapshots = done.record.snapshots;
        again.clock = done.clock;
        let known = std::mem::replace(&mut again.notes, done.notes);
        let news = known.into_iter().filter(|note| !again.notes.contains(note));
        let news: Vec<String> = news.collect();
        again.notes.extend(news);
        Ok(again)
    }
}

/// Returns all that an environment's boot files and fstab depend on besides its halves, as a text to compare.
pub(super) fn properties(pool: &Pool, node: &NodeRecord) -> Result<String> {
    Ok(serde_json::to_string(&(pool.record(), node))?)
}
