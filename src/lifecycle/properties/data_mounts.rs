//! Having existing environments mount the data of their node: only the lines of their fstab, in place.
//!
//! Promises that an environment which could not mount the data keeps its fstab, and is recorded as one that would not boot.
//! Not for the data itself, nor for any other line: `existing`.

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::lifecycle::{Mode, Outcome};
use crate::pool::{EnvId, EnvName, EnvRecord, Environment, Node, NodeName, Pool, data_store};
use crate::staged::boot_config::Wanted;

/// Has the fstab of one environment mount the data of its node; returns whether it changed.
pub(in crate::lifecycle) fn write(
    pool: &Pool,
    node: &NodeName,
    env: &EnvName,
    mode: Mode,
) -> Result<Outcome<bool>> {
    let lock = mode.lock_idle(pool, node, env)?;
    let node = pool.node(node)?;
    let env = node.environment(env)?;
    let (wanted, mut record) = wanted(pool, &node, &env)?;
    // What cannot be read is no obstacle, and nothing to record.
    let obstacles = wanted.obstacles(&env.root())?;
    let refused = refuse_obstacles(&obstacles, &env);
    let Some(lock) = lock else {
        refused?;
        let steps = match wanted.would_write_data(&env.root())? {
            true => vec![mounting(&env.id())],
            false => Vec::new(),
        };
        return Ok(Outcome::Planned(steps));
    };
    data_store::take_into_use(&lock, &node)?;
    if let Err(e) = refused {
        record.would_not_boot = wanted.reasons_to_record(&env.root(), &env.boot())?;
        env.store(&lock, &record, Durable::AtOnce)?;
        return Err(e);
    }
    let changed = wanted.write_data(&env.root())?;
    let reasons = wanted.reasons_to_record(&env.root(), &env.boot())?;
    if record.would_not_boot != reasons {
        record.would_not_boot = reasons;
        env.store(&lock, &record, Durable::WithNextSync)?;
    }
    subvolume::sync(&env.root()).context("making it durable")?;
    Ok(Outcome::Done(changed))
}

/// Returns whether [`write`] would change the fstab of an environment if the pool and its node were as given.
///
/// # Errors
/// Those of [`write`].
pub(super) fn differs(pool: &Pool, node: &Node, env: &Environment) -> Result<bool> {
    let (wanted, _) = wanted(pool, node, env)?;
    refuse_obstacles(&wanted.obstacles(&env.root())?, env)?;
    wanted.would_write_data(&env.root())
}

/// Returns what an environment is to mount, and its record.
fn wanted(pool: &Pool, node: &Node, env: &Environment) -> Result<(Wanted, EnvRecord)> {
    node.refuse_lost()?;
    env.require_own_files()?;
    let record = env.record_for_change()?;
    let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
    Ok((wanted, record))
}

/// Refuses an environment that could not mount the data of its node, whatever its fstab says.
fn refuse_obstacles(obstacles: &[String], env: &Environment) -> Result<()> {
    match obstacles {
        [] => Ok(()),
        [first, ..] => Err(Failure::refused(first)
            .hint(format!("netbe check {}", env.node))
            .into()),
    }
}

/// Returns the sentence of the step that [`write`] takes.
pub(in crate::lifecycle) fn mounting(env: &EnvId) -> String {
    format!("have the fstab of {env} mount the data of {}", env.node)
}

/// Returns the words for an environment whose fstab was not written.
pub(super) fn mounts_none(env: &EnvId) -> String {
    format!("{env} does not mount the data")
}
