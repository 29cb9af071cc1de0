//! What an activation writes into the records of the two environments: for evidence, for rollback, and for the order of
//! activations.
//!
//! Not for the link that it changes.

use std::path::PathBuf;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::btrfs::subvolume;
use crate::evidence::reports;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::pool::pending::Pending;
use crate::pool::record::Led;
use crate::pool::{Environment, Node, NodeLock};
use crate::staged::Verified;

/// Writes to an environment's record, before the names change, that a machine may run it, its last report, the `reasons`
/// of the verification and the number of the activation; removes the result of a failed trial.
pub fn mark_served(
    lock: &NodeLock,
    node: &Node,
    env: &Environment,
    reasons: Option<&[String]>,
    entered: Option<u64>,
) -> Result<()> {
    let is_booted = node.is_offered() || node.is_this_machine;
    if env.unread {
        // Its record may exist, and would still say that no machine was ever led to it.
        env.record_for_change()?;
    }
    let news = !is_led_to(node, env) || env.record.as_ref().is_some_and(|r| r.led.is_none());
    if let Some(mut record) = env.record.clone()
        && ((is_booted && (news || !record.served))
            || record.unproven.is_some()
            || entered.is_some()
            || reasons.is_some_and(|found| found != record.would_not_boot))
    {
        if is_booted && news {
            record.led = Some(Led {
                since: Timestamp::now(),
                boot_id: reports::reported(env).map(|(_, report)| report.boot_id),
            });
        }
        if is_booted && !record.served {
            record.first_led = last_transaction(env);
        }
        record.served |= is_booted;
        record.unproven = None;
        record.entered = entered.or(record.entered);
        if let Some(found) = reasons {
            record.would_not_boot = found.to_vec();
        }
        env.store(lock, &record, Durable::WithNextSync)?;
    }
    Ok(())
}

/// Returns the number of the last transaction that is known to have changed an environment's halves.
pub(in crate::lifecycle) fn last_transaction(env: &Environment) -> Option<u64> {
    let halves = [env.root(), env.boot()];
    let last = |half: &PathBuf| subvolume::info(half).ok().map(|info| info.generation);
    halves.iter().filter_map(last).max()
}

/// Returns the number of a node's next activation, by which activations are ordered without a clock.
pub(super) fn next_activation(node: &Node) -> Result<u64> {
    let entered = |env: &Environment| env.record.as_ref().and_then(|r| r.entered);
    let last = match node.active_environment() {
        Ok(active) if active.record.is_some() => entered(&active),
        // The active environment cannot be read, or does not exist: the maximum of all records.
        _ => node.environments()?.iter().filter_map(entered).max(),
    };
    Ok(last.unwrap_or(0) + 1)
}

/// Returns whether the node's names lead to an environment, or did for the pending boot.
fn is_led_to(node: &Node, env: &Environment) -> bool {
    let pending = Pending::read(&node.state);
    let is_it = pending.boot().is_some_and(|boot| boot.env == env.name);
    is_it || (env.active && pending.waiting().is_none())
}

/// Returns the active environment, whose record is to say that it was left; `None` if there is none.
///
/// # Errors
/// If it cannot be read, unless the next one is forced: a rollback would not find that it was active.
pub(super) fn left_by(node: &Node, next: &Verified<'_>) -> Result<Option<Environment>> {
    let readable = |env: Option<Environment>| match env {
        Some(env) if env.unread => env.record_for_change().map(|_| Some(env)),
        env => Ok(env),
    };
    match node.active_if_any().and_then(readable) {
        Err(_) if next.is_forced() => Ok(None),
        Err(e) => {
            let next = next.env();
            let why = format!(
                "{next} is not activated, since rollback would not know what was active before: {e:#}"
            );
            let hint = format!("netbe activate {next} --force");
            Err(Failure::failed(why).hint(hint).into())
        }
        found => found,
    }
}

/// Records when an environment stops being active, which rollback uses.
pub(super) fn mark_left(
    lock: &NodeLock,
    node: &Node,
    env: &Environment,
    next: &Environment,
) -> Result<()> {
    let Some(mut record) = env.record.clone() else {
        return Ok(());
    };
    let now = Timestamp::now();
    record.known_boot_ids = reports::boot_ids(node);
    let now = match reports::of_pending(node, next) {
        Some((came_up, boot_id)) => {
            record.known_boot_ids.retain(|known| *known != boot_id);
            came_up
                .checked_sub(SignedDuration::from_nanos(1))
                .unwrap_or(now)
        }
        None => now,
    };
    // Later than the time of the next one, even if the clock was set back, so that a second rollback undoes the first.
    let floor = next.record.as_ref().and_then(|r| r.left);
    record.left = Some(match floor {
        Some(floor) if floor >= now => floor
            .checked_add(SignedDuration::from_nanos(1))
            .unwrap_or(now),
        _ => now,
    });
    env.store(lock, &record, Durable::WithNextSync)
}
