//! The active environment of a node: `activate` and `rollback`.
//!
//! One rename of one link is the commit. Before it, the environment is verified, exported and durable; after it, the
//! rename is made durable before success is reported. Not for pending boots and trials.

mod choice;

use std::time::Duration;

use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

pub use choice::{Choice, can_roll_back, choose, made_before, previous_of, proposed, proposed_of};

use super::data::snapshots;
use super::plan::Plan;
use super::{Held, Mode, Outcome, left_behind, on_card, pending};
use crate::btrfs::subvolume;
use crate::evidence::reports;
use crate::fs::atomic::{self, Durable};
use crate::pool::deployed;
use crate::pool::pending::Pending;
use crate::pool::record::Led;
use crate::pool::{EnvId, Environment, Node, NodeLock, NodeName, Operand, Pool, layout};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq, tftp};
use crate::staged::{Early, Verified};

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// The environment.
    pub id: EnvId,
    /// The environment that was active before, if it was another one.
    pub before: Option<EnvId>,
    /// The pending boot of another environment that this ended, in words.
    pub ended: Option<String>,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Activates an environment: the named one, else the newest proposed one of the named node, else the only proposed one.
pub fn activate(
    pool: &Pool,
    operand: Option<&Operand>,
    force: bool,
    mode: Mode,
) -> Result<Outcome<Activated>> {
    let chosen = choose(pool, operand, forcing(force))?;
    let node = chosen.env.node.clone();
    let early = verify_early(pool, &node, |_| Ok(chosen.env.clone()), mode);
    perform(pool, &node, move |_| Ok(chosen), (force, early), mode)
}

/// Returns the option of `activate` that goes on with what would not boot, with a space after it.
pub(super) fn forcing(force: bool) -> &'static str {
    if force { "--force " } else { "" }
}

/// Activates the previously active environment.
pub fn rollback(pool: &Pool, node: &NodeName, mode: Mode) -> Result<Outcome<Activated>> {
    let early = verify_early(pool, node, |node| Ok(Choice::previous(node)?.env), mode);
    perform(pool, node, Choice::previous, (false, early), mode)
}

/// Verifies a disk image before the lock of its node is taken. An error is found again under the lock.
fn verify_early(
    pool: &Pool,
    node: &NodeName,
    choice: impl FnOnce(&Node) -> Result<Environment>,
    mode: Mode,
) -> Option<Early> {
    if mode.dry_run {
        return None;
    }
    let node = pool.node(node).ok()?;
    let env = choice(&node).ok()?;
    Early::verify(pool, &node, &env).ok()?
}

fn perform(
    pool: &Pool,
    node: &NodeName,
    choice: impl FnOnce(&Node) -> Result<Choice>,
    (force, early): (bool, Option<Early>),
    mode: Mode,
) -> Result<Outcome<Activated>> {
    let lock = mode.lock(pool, node)?;
    let node = pool.node(node)?;
    node.refuse_lost()?;
    let Choice { env, mut notes } = choice(&node)?;
    // Read again under the lock.
    let env = node.environment(&env.name)?;
    if let Some((left, place)) = deployed::left_on_disk(&node, &env)? {
        notes.push(format!(
            "what {0} has written in {0}/{left} is on its disk, in {place}, and stays there",
            node.name
        ));
    }
    if let Some(disk) = deployed::is_beside(&node, &env)? {
        notes.push(format!(
            "{env} has its root on this server, and not on {disk} as others of {}: netbe deploy puts it there",
            node.name
        ));
    }
    pool.refuse_work(&node.name, &env.name, Duration::ZERO)?;
    let verified = Verified::after(early, pool, &node, &env, force)?;
    let before = node
        .active
        .as_ref()
        .filter(|a| **a != env.name)
        .map(|a| EnvId::new(&node.name, a));
    let mut plan = Plan::new();
    plan_export(&mut plan, pool, &node, &env);
    let ended = Pending::read(&node.state)
        .boot()
        .filter(|boot| boot.env != env.name)
        .map(|boot| boot.kind.phrase(&EnvId::new(&node.name, &boot.env)));
    let mut sentence = match &before {
        Some(before) => format!("let {} boot {env} instead of {before}", node.name),
        None => format!("let {} boot {env}, as before", node.name),
    };
    left_behind::plan(&mut plan, pool, &node, &env);
    if let Some(ended) = &ended {
        sentence.push_str(&format!(", and end {ended}"));
    }
    let keep =
        snapshots::left_by(pool, &node, &env.name).map(|left| snapshots::sentence(&node, left));
    plan.steps(keep.into_iter().chain([sentence]).collect(), |held| {
        lead_for_good(held, &node, &verified)
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| Activated {
        id: env.id(),
        before,
        ended,
        notes,
        warnings: held.warnings,
    }))
}

/// Adds the step that exports an environment, where its node mounts its root from this server: before anything leads to it.
pub(super) fn plan_export<'a>(
    plan: &mut Plan<'a, Held<'_>>,
    pool: &Pool,
    node: &'a Node,
    env: &'a Environment,
) {
    if node.is_offered() && publish::has_nfs_root(pool, node) {
        plan.step(format!("export {env}"), |held| export(held, node, env));
    }
}

fn ensure_protects(lock: &NodeLock, node: &Node, env: &Environment) -> Result<()> {
    lock.ensure_protects(&env.node)?;
    // Its link is written, too.
    lock.ensure_protects(&node.name)
}

fn export(held: &mut Held, node: &Node, env: &Environment) -> Result<()> {
    ensure_protects(held.lock, node, env)?;
    let exported = publish::export(held.pool, &held.shared, node, env)
        .with_context(|| format!("nothing was changed: exporting {env}"))?;
    held.warnings.extend(exported);
    Ok(())
}

/// Makes an environment the active one, durably, and ends the node's pending boot.
pub fn for_good(held: &mut Held, node: &Node, env: &Verified<'_>) -> Result<()> {
    export(held, node, env.env())?;
    lead_for_good(held, node, env)
}

/// Activates the environment of a pending boot, after the node has booted it.
///
/// The snapshots of the node's data stay as they were before that boot, since the boot may have changed the data.
pub fn after_its_boot(held: &mut Held, node: &Node, env: &Verified<'_>) -> Result<()> {
    switch(held, node, env)?;
    pending::end(held, node)
}

fn lead_for_good(held: &mut Held, node: &Node, env: &Verified<'_>) -> Result<()> {
    held.warnings
        .extend(snapshots::keep(held.pool, held.lock, node, &env.env().name));
    lead(held, node, env)?;
    // After the switch: a trial that passed must not be forgotten before it is what boots next.
    pending::end(held, node)
}

/// Makes an environment the active one, durably.
///
/// Activating the active environment again brings its link and exports up to date.
pub fn switch(held: &mut Held, node: &Node, env: &Verified<'_>) -> Result<()> {
    export(held, node, env.env())?;
    lead(held, node, env)
}

/// Leads a node to an environment that is exported.
fn lead(held: &mut Held, node: &Node, verified: &Verified<'_>) -> Result<()> {
    let (pool, lock, shared) = (held.pool, held.lock, &held.shared);
    let env = verified.env();
    ensure_protects(lock, node, env)?;
    if let Some(local) = pool.local() {
        publish::local::prepare(pool, shared, local, env)
            .with_context(|| format!("nothing was changed: offering {env} to the loader"))?;
    }
    held.warnings.extend(verified.warnings());
    reports::keep_reports(node);
    let changes = node.active.as_ref() != Some(&env.name);
    let entered = changes.then(|| next_activation(node)).transpose()?;
    mark_served(lock, node, env, verified.reasons(), entered)?;
    if changes {
        mark_left(lock, node, env)?;
    }
    // Writes by run, by mount or by hand have to be durable too.
    subvolume::sync(&env.root()).context("making the environment durable")?;
    if changes {
        let link = node.dir.join(layout::ACTIVE);
        // A directory made by mistake cannot be replaced by rename: an empty one is removed, another is an error.
        if link.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            std::fs::remove_dir(&link)
                .with_context(|| format!("activating {env}: {} is not a link", link.display()))?;
        }
        atomic::link(&link, &layout::active_target(&env.name))
            .with_context(|| format!("activating {env}"))?;
        atomic::directory(&node.dir).context("making the activation durable")?;
        if node.is_this_machine {
            // A loader does not replay the filesystem's log tree, and fsync alone may write only there.
            subvolume::sync(&node.dir).context("making the activation durable")?;
        }
    }
    let now = pool.node(&node.name)?;
    if pool.local().is_some() {
        let done = publish::everything(pool, Some(shared))?;
        held.warnings.extend(done.warnings);
        return Ok(());
    }
    held.warnings.extend(on_card::warning(&now));
    let mut run = Publishing::begin(pool, Some(shared))?;
    tftp::bring_node_up_to_date(&mut run, &now)?;
    let dnsmasq = dnsmasq::bring_node_up_to_date(&mut run, &now);
    held.warnings.extend(run.done.warnings);
    if let Err(e) = dnsmasq {
        // It is activated: from here on only warnings.
        let stays = format!("dnsmasq is not up to date: {e:#}; netbe publish");
        held.warnings.push(stays);
    }
    Ok(())
}

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
pub(super) fn last_transaction(env: &Environment) -> Option<u64> {
    let halves = [env.root(), env.boot()];
    let last = |half: &PathBuf| subvolume::info(half).ok().map(|info| info.generation);
    halves.iter().filter_map(last).max()
}

/// Returns the number of a node's next activation, by which activations are ordered without a clock.
fn next_activation(node: &Node) -> Result<u64> {
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

/// Records when the active environment stops being active, which rollback uses.
fn mark_left(lock: &NodeLock, node: &Node, next: &Environment) -> Result<()> {
    let Ok(env) = node.active_environment() else {
        return Ok(());
    };
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
