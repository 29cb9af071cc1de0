//! Publishing a new node: first its record in the state directory, then its directory by one rename.
//!
//! Promises that every node has a record, and that it does not inherit the state of a former node of that name. A
//! record without a node is a leftover that `check` finds. Not for the content of the stage.

use anyhow::Result;

use super::layout;
use super::lock::NodeLock;
use super::name::NodeName;
use super::record::{self, NodeRecord};
use super::stage::Staged;
use super::{Pool, state};
use crate::failure::Failure;

/// Publishes the stage of a node, with its record, by the lock of that name.
///
/// # Errors
/// A refusal if the name is taken. Nothing is left then.
pub fn publish_node(
    pool: &Pool,
    lock: &NodeLock,
    node: &NodeName,
    record: &NodeRecord,
    stage: Staged,
) -> Result<()> {
    lock.ensure_protects(node)?;
    let dir = layout::node(pool.root(), node);
    if dir.symlink_metadata().is_ok() {
        return Err(Failure::refused(format!("{} already exists", dir.display())).into());
    }
    let known = layout::node_state(pool.state(), node);
    state::forget_node(lock, &known)?;
    state::private_directory(&known)?;
    record::write(&known.join(layout::NODE_RECORD), record)?;
    crate::fs::atomic::directory(&layout::node_states(pool.state()))?;
    let copy = stage.path().join(layout::NODE_RECORD);
    let published = record::write_before_sync(&copy, &record.without_secrets())
        .and_then(|()| stage.publish(&dir));
    if published.is_err() && dir.symlink_metadata().is_err() {
        // Best effort: the first error is returned, and check finds leftovers.
        let _ = state::forget_node(lock, &known);
    }
    published
}
