//! Putting back what a killed command left in the place of an environment's own files.
//!
//! By what its record says, which was written before anything was put there. Not for a run that ends.

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::pool::{Environment, Node, NodeLock};

/// Puts everything back that stands in place of an environment's own files, durably, and takes it out of the record.
///
/// Nobody works in it meanwhile. Returns the environment as it is then.
///
/// # Errors
/// Names the file that could not be put back; the record goes on telling of all.
pub(super) fn give_back(lock: &NodeLock, node: &Node, env: Environment) -> Result<Environment> {
    let Some(record) = env.record.as_ref().filter(|r| !r.lent.is_empty()) else {
        return Ok(env);
    };
    let tree = Tree::open(&env.root())?.durable();
    for lent in record.lent.iter().rev() {
        lent.give_back(&tree)?;
    }
    subvolume::sync(&env.root()).context("making what was put back durable")?;
    let mut record = record.clone();
    record.lent.clear();
    env.store(lock, &record, Durable::AtOnce)?;
    node.environment(&env.name)
}
