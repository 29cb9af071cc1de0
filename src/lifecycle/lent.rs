//! Putting back what a killed command left in the place of an environment's own files.
//!
//! By what its record says, which was written before anything was put there. Not for a run that ends.

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::pool::{Environment, Node, NodeLock};
use crate::sandbox::lent::give_all_back;

/// Puts everything back that stands in place of an environment's own files, durably, and takes it out of the record.
///
/// Nobody works in it meanwhile. Returns the environment as it is then; without the lock, in a dry run, nothing is written.
///
/// # Errors
/// Names the file that could not be put back; the record on disk goes on telling of all.
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
