//! Destroying environments and nodes: `destroy`.
//!
//! Refuses what `protection` protects. No option overrides "booted". First no name leads to the environment any more, then
//! one rename takes it away, then it is deleted. Not for choosing old ones.

use std::time::Duration;

use anyhow::{Context, Result};

use super::data::destroy::refuse_left;
use super::kept_bases::{self, Needed};
use super::plan::Plan;
use super::protection::{Known, Scope, refuse_booted};
use super::{Mode, Outcome};
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::pool::foreign;
use crate::pool::state;
use crate::pool::{Environment, Node, NodeLock, NodeName, Operand, Pool, deployed, stage};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq, tftp};

/// Destroys environments: all of them, or none where one is protected.
pub fn environments(pool: &Pool, operands: &[Operand], mode: Mode) -> Result<Outcome<Vec<String>>> {
    let names = sorted_nodes(operands.iter().map(|o| &o.node));
    for Operand { node, env } in operands {
        let waited = |env| pool.refuse_work(node, env, mode.patience());
        env.as_ref().map_or(Ok(()), waited)?;
    }
    let locks = take_all(pool, &names, mode)?;
    let mut found = Vec::new();
    for operand in operands {
        let Some(env) = &operand.env else {
            return Err(
                Failure::usage(format!(
                    "{operand} names a node, not an environment: name one of its own, or the whole node: netbe destroy -r {operand}"
                ))
                    .hint(format!("netbe list {operand}"))
                    .into(),
            );
        };
        let node = pool.node(&operand.node)?;
        let env = node.environment(env)?;
        if !found.iter().any(|e: &Environment| e.dir == env.dir) {
            refuse(pool, &node, std::slice::from_ref(&env), Scope::Environment)?;
            found.push(env);
        }
    }
    let mut plan = Plan::new();
    let sentences = found.iter().map(|e| format!("destroy {e}")).collect();
    // One step: they are unpublished together, and the failure of one does not stop the others.
    plan.steps(sentences, |locks: &mut Vec<NodeLock>| {
        withdraw(pool, &found, mode)?;
        discard_all(pool, locks, &found, mode)
    });
    let done = plan.carry_out(locks)?;
    Ok(done.map(|_locks| found.iter().map(ToString::to_string).collect()))
}

/// Destroys nodes with all their environments, and with `data` what belongs to them beside those: all of them, or none where
/// one is protected.
pub fn nodes(
    pool: &Pool,
    names: &[NodeName],
    data: bool,
    mode: Mode,
) -> Result<Outcome<Vec<String>>> {
    let names = sorted_nodes(names.iter());
    for name in &names {
        pool.refuse_work_in(name, mode.patience())?;
    }
    let locks = take_all(pool, &names, mode)?;
    let (mut sentences, mut found) = (Vec::new(), Vec::new());
    for name in &names {
        pool.refuse_work_in(name, Duration::ZERO)?;
        let node = pool.node(name)?;
        let envs = node.environments()?;
        foreign::refuse(&node.name, &foreign::in_node(&node.dir)?)?;
        refuse(pool, &node, &envs, Scope::Node)?;
        refuse_left(&node, data)?;
        sentences.extend(envs.iter().map(|e| format!("destroy {e}")));
        let of_data = node.record.data.paths.iter();
        sentences.extend(of_data.map(|d| format!("destroy the data of {} of {name}", d.path)));
        sentences.push(format!("destroy node {name}"));
        found.push(Whole((node, envs)));
    }
    let mut plan = Plan::new();
    plan.steps(sentences, |locks: &mut Vec<NodeLock>| {
        all(&found, |Whole((node, envs))| {
            let lock = lock_of(locks, &node.name)?;
            forget_names(pool, node, mode)?;
            withdraw(pool, envs, mode)?;
            if !node.record.data.is_empty() {
                publish::withdraw_below(pool, &pool.lock(mode.wait)?, &[&node.dir])?;
            }
            Needed::new(pool, envs)?.keep(pool, lock, envs)?;
            stage::discard_node(lock, &node.dir)
                .context("its names and exports are already removed")?;
            state::forget_node(lock, &node.state)
        })?;
        kept_bases::forget_unneeded(pool, mode)
    });
    let done = plan.carry_out(locks)?;
    Ok(done.map(|_locks| found.iter().map(ToString::to_string).collect()))
}

fn refuse(pool: &Pool, node: &Node, envs: &[Environment], scope: Scope) -> Result<()> {
    let known = Known::new(pool, node)?;
    envs.iter()
        .try_for_each(|env| known.refuse(node, env, scope))
}

/// Unpublishes environments before they are deleted, and refuses a last time those that were booted meanwhile.
pub(super) fn withdraw(pool: &Pool, envs: &[Environment], mode: Mode) -> Result<()> {
    let shared = pool.lock(mode.wait)?;
    for env in envs {
        refuse_booted(&pool.node(&env.node)?, env)?;
    }
    let envs: Vec<&Environment> = envs.iter().collect();
    publish::withdraw(pool, &shared, &envs).map(drop)
}

/// Deletes environments that no name leads to, and keeps those that a merge needs; durable when it returns.
fn discard_all(pool: &Pool, locks: &[NodeLock], envs: &[Environment], mode: Mode) -> Result<()> {
    let needed = Needed::new(pool, envs)?;
    all(envs, |env| {
        needed.discard(pool, lock_of(locks, &env.node)?, env)
    })?;
    for name in sorted_nodes(envs.iter().map(|env| &env.node)) {
        deployed::forget_unneeded(&pool.node(&name)?)?;
    }
    kept_bases::forget_unneeded(pool, mode)
}

fn forget_names(pool: &Pool, node: &Node, mode: Mode) -> Result<()> {
    let shared = pool.lock(mode.wait)?;
    let mut nameless = node.clone();
    nameless.record.properties.clear();
    nameless.lost = false;
    let mut run = Publishing::begin(pool, Some(&shared))?;
    dnsmasq::bring_node_up_to_date(&mut run, &nameless)
        .and_then(|()| tftp::bring_node_up_to_date(&mut run, &nameless))
        .with_context(|| {
            format!(
                "nothing was destroyed: taking away the names of {}",
                node.name
            )
        })
}

/// Displays a node by its name.
struct Whole((Node, Vec<Environment>));

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.0.name.fmt(f)
    }
}

/// Destroys one after another; a failure does not stop the others.
///
/// # Errors
/// The first failure, with all others and what was destroyed.
fn all<T: std::fmt::Display>(these: &[T], destroy: impl Fn(&T) -> Result<()>) -> Result<()> {
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for one in these {
        match destroy(one).with_context(|| format!("destroying {one}")) {
            Ok(()) => gone.push(one.to_string()),
            Err(e) => failed.push(e),
        }
        interrupt::check()?;
    }
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else {
        return Ok(());
    };
    let more: Vec<String> = failed.map(|e| format!("; {e:#}")).collect();
    Err(match (gone.is_empty(), more.is_empty()) {
        (true, true) => first,
        (true, false) => first.context(format!("several were not destroyed{}", more.concat())),
        (false, _) => first.context(format!(
            "destroyed {}, but not all{}",
            gone.join(", "),
            more.concat()
        )),
    })
}

/// Returns the lock of a node among those that were taken.
fn lock_of<'l>(locks: &'l [NodeLock], node: &NodeName) -> Result<&'l NodeLock> {
    let mut locks = locks.iter();
    locks
        .find(|lock| lock.node() == node)
        .with_context(|| format!("{node} is not locked"))
}

fn sorted_nodes<'a>(names: impl Iterator<Item = &'a NodeName>) -> Vec<NodeName> {
    let mut names: Vec<NodeName> = names.cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Takes the locks of nodes, in order; none in a dry run.
fn take_all(pool: &Pool, names: &[NodeName], mode: Mode) -> Result<Option<Vec<NodeLock>>> {
    // The node must exist: otherwise every typing error would leave a lock file behind.
    let take = |name| pool.node(name).and_then(|_| mode.lock(pool, name));
    names.iter().map(take).collect()
}
