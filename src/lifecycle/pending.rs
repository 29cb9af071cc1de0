//! Ending a node's pending boot.
//!
//! First the record, then the names; after a crash in between, the same call completes it. A loader's own boot-once setting
//! is removed before the record. Not for setting a pending boot, nor for deciding when it is over: `trial`.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::Held;
use crate::evidence::reports;
use crate::fs::atomic::Durable;
use crate::pool::pending::{self, Pending, PendingBoot};
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool, PoolLock};
use crate::publish::{self, Published};
use crate::staged::Verified;

/// Makes an environment that was verified a node's pending boot, durably; the names are led there after that.
pub(super) fn begin(
    shared: &PoolLock,
    node: &Node,
    verified: &Verified<'_>,
    boot: &PendingBoot,
) -> Result<()> {
    let env = verified.env();
    ensure!(
        env.name == boot.env && env.node == node.name,
        "{env} was verified, and not {}/{}",
        node.name,
        boot.env
    );
    pending::begin(&node.state, shared, boot)
}

/// Ends a node's pending boot, durably: first the record, then the names.
///
/// Without a pending boot this is no error, and corrects names that a crash left wrong.
pub(super) fn end(held: &mut Held, node: &Node) -> Result<()> {
    let pending = Pending::read(&node.state);
    reports::keep_reports(node);
    if let Some(boot) = pending.boot() {
        mark_withdrawn(held.lock, node, boot)?;
    }
    if let Some(local) = held.pool.local() {
        publish::local::forget_once(held.pool, &held.shared, local)?;
    }
    if pending != Pending::None {
        pending::clear(&node.state, &held.shared)?;
    }
    let restored = restore_active(held.pool, Some(&held.shared), &node.name)?;
    held.warnings.extend(restored.warnings);
    Ok(())
}

/// Points a node's names to the environment that its records name; without the lock, in a dry run, only returns the steps.
pub(super) fn restore_active(
    pool: &Pool,
    shared: Option<&PoolLock>,
    node: &NodeName,
) -> Result<Published> {
    publish::lead_node(pool, shared, &pool.node(node)?)
}

/// Records that a node's names do not lead to an environment any more. Called before they change, so that after a crash
/// the recorded time is too late rather than too early.
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
            record.known_boot_ids.clone_from(&boot.known_boot_ids);
        }
        None => {
            record.withdrawn = Some(Timestamp::now());
            record.known_boot_ids = reports::boot_ids(node);
        }
    }
    env.store(lock, &record, Durable::WithNextSync)
}
