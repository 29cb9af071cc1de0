//! Snapshots of a node's data beside an environment that the node leaves, as of the moment when it leaves.
//!
//! After a rollback the old environment finds newer data than it has known; the snapshot has the data that it knew. It is
//! destroyed with its environment. A failure is a warning: it is no reason not to activate. Not for restoring data.

use anyhow::Result;

use crate::btrfs::subvolume;
use crate::pool::stage::Staged;
use crate::pool::{EnvName, Node, NodeLock, Pool, data_store, layout};

/// Returns the environment that a node leaves by booting another one, if its data is kept beside it.
pub(in crate::lifecycle) fn left_by<'n>(
    pool: &Pool,
    node: &'n Node,
    next: &EnvName,
) -> Option<&'n EnvName> {
    let left = node.active.as_ref().filter(|active| *active != next);
    left.filter(|_| is_kept(pool, node))
}

fn is_kept(pool: &Pool, node: &Node) -> bool {
    let is_on = node
        .property(pool, "data.snapshots")
        .is_none_or(|v| v == "on");
    is_on && !node.is_template() && node.record.data.mounted().next().is_some()
}

/// Returns the sentence of the step that keeps a node's data beside an environment that it leaves.
pub(in crate::lifecycle) fn sentence(node: &Node, left: &EnvName) -> String {
    let name = &node.name;
    format!("keep the data of {name} as it is beside {name}/{left}")
}

/// Returns that sentence for an environment whose trial failed, if its node's data is kept.
pub(in crate::lifecycle) fn of_failed_trial(
    pool: &Pool,
    node: &Node,
    tried: &EnvName,
) -> Option<String> {
    is_kept(pool, node).then(|| sentence(node, tried))
}

/// Keeps a node's data beside an environment whose trial failed; returns a warning if it could not be kept.
pub(in crate::lifecycle) fn keep_beside_tried(
    pool: &Pool,
    lock: &NodeLock,
    node: &Node,
    tried: &EnvName,
) -> Option<String> {
    is_kept(pool, node).then(|| keep_beside(lock, node, tried))?
}

/// Keeps a node's data beside the environment that the node leaves; returns a warning if it could not be kept.
pub(in crate::lifecycle) fn keep(
    pool: &Pool,
    lock: &NodeLock,
    node: &Node,
    next: &EnvName,
) -> Option<String> {
    keep_beside(lock, node, left_by(pool, node, next)?)
}

fn keep_beside(lock: &NodeLock, node: &Node, left: &EnvName) -> Option<String> {
    let failed = snapshot(lock, node, left).err()?;
    let name = &node.name;
    Some(format!(
        "the data of {name} is not kept beside {name}/{left}: {failed:#}"
    ))
}

fn snapshot(lock: &NodeLock, node: &Node, left: &EnvName) -> Result<()> {
    let env = node.environment(left)?;
    let staged = Staged::new(&node.dir, layout::DATA)?;
    let all = staged.path().join(layout::KEPT_DATA);
    std::fs::create_dir(&all)?;
    for path in node.record.data.mounted() {
        if data_store::is_there(node, path)? {
            let snapshot = all.join(path.directory());
            subvolume::snapshot_read_only(&data_store::subvolume_of(node, path), &snapshot)?;
        }
    }
    data_store::keep(lock, &all, &env)
}
