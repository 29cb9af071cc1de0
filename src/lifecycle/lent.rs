//! Restoring an environment's own files after a killed command, which had put others in their place.
//!
//! The record lists them: it is written before any file is replaced. Not for a run that ends by itself.

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::pool::{Environment, Node, NodeLock};
use crate::sandbox::lent::give_all_back;

/// Restores all of an environment's own files that were replaced, durably, and removes them from the record.
///
/// No command may work in it meanwhile. Returns the environment read again; without the lock, in a dry run, nothing is written.
///
/// # Errors
/// Names the file that could not be restored; the record on disk still lists all.
pub(super) fn give_back(
    lock: Option<&NodeLock>,
    node: &Node,
    mut env: Environment,
) -> Result<Environment> {
    let Some(record) = env.record.as_mut().filter(|r| !r.lent.is_empty()) else {
        return Ok(env);
    };
    let lent = std::mem::take(&mut record.lent);
    let Some(lock) = lock else {
        return Ok(env);
    };
    let tree = Tree::open(&env.root())?.durable();
    give_all_back(&tree, &lent)?;
    subvolume::sync(&env.root()).context("making what was put back durable")?;
    env.store(lock, &env.record_for_change()?, Durable::AtOnce)?;
    node.environment(&env.name)
}
