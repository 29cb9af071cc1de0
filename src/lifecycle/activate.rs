//! The active environment of a node: `activate` and `rollback`.
//!
//! One rename of one link is the commit. Before it, the environment is verified, exported and durable; after it, the
//! rename is made durable before success is reported. Not for pending boots and trials.

mod choice;
mod records;

use std::time::Duration;

use anyhow::{Context, Result};

pub use choice::{Choice, can_roll_back, choose, made_before, previous_of, proposed, proposed_of};
pub(super) use records::last_transaction;
pub use records::mark_served;
use records::{left_by, mark_left, next_activation};

use super::data::snapshots;
use super::plan::Plan;
use super::{Held, Mode, Outcome, left_behind, on_card, pending};
use crate::btrfs::subvolume;
use crate::evidence::reports;
use crate::fs::atomic;
use crate::pool::deployed;
use crate::pool::pending::Pending;
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
    if node.active.as_ref() != Some(&env.name) {
        // A dry run refuses the same; it is read again when its record is written.
        left_by(&node, &verified)?;
    }
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
    let left = changes.then(|| left_by(node, verified)).transpose()?;
    let entered = changes.then(|| next_activation(node)).transpose()?;
    mark_served(lock, node, env, verified.reasons(), entered)?;
    if let Some(left) = left.flatten() {
        mark_left(lock, node, &left, env)?;
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
