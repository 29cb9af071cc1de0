//! Where a node's names lead, when a boot for once or a trial of it is over.
//!
//! First on disk, then for the machines that ask: what a crash leaves between the two is put right by the
//! same again. Not for beginning one, nor for when it is over: that is `trial`.

use anyhow::Result;
use jiff::Timestamp;

use crate::evidence::reports;
use crate::fs::atomic::Durable;
use crate::pool::pending::{self, Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool, PoolLock};
use crate::publish::{Published, tftp};

/// Ends what is before a node, durably: first on disk, then for the machines that ask.
///
/// Nothing before it is no error, and what a crash left of a name is put right.
pub(super) fn end(
    pool: &Pool,
    lock: &NodeLock,
    shared: &PoolLock,
    node: &Node,
) -> Result<Vec<String>> {
    let pending = Pending::read(&node.state);
    reports::keep_reports(node);
    if let Some(boot) = pending.boot() {
        mark_withdrawn(lock, node, boot)?;
    }
    if pending != Pending::None {
        pending::clear(&node.state, shared)?;
    }
    restore_active(pool, shared, &node.name)
}

/// Leads a node's names where its records say.
pub(super) fn restore_active(
    pool: &Pool,
    shared: &PoolLock,
    node: &NodeName,
) -> Result<Vec<String>> {
    let mut done = Published::default();
    tftp::bring_node_up_to_date(pool, Some(shared), &pool.node(node)?, &mut done)?;
    Ok(done.warnings)
}

/// Notes that machines are not led to an environment any more; before they are not, so that a crash
/// between leaves too late a time and never too early a one.
pub(super) fn mark_withdrawn(lock: &NodeLock, node: &Node, boot: &PendingBoot) -> Result<()> {
    let Some(env) = Environment::observe(node, &boot.env)? else {
        return Ok(());
    };
    let Some(mut record) = env.record.clone() else {
        return Ok(());
    };
    match boot.withdrawn {
        Some(time) => {
            record.withdrawn = Some(time);
            record.told.clone_from(&boot.told);
        }
        None => {
            record.withdrawn = Some(Timestamp::now());
            record.told = reports::told(node);
        }
    }
    env.store(lock, &record, Durable::WithNextSync)
}
