//! Destroying environments and nodes: `destroy`.
//!
//! Refuses an environment that is active, booted or maybe booted, pending, pinned, or in use on this machine. No option
//! overrides "booted". It is deleted by one rename first, after no name leads to it any more. Not for choosing old
//! ones.

use std::time::Duration;

use anyhow::{Context, Result};

use super::data::destroy::refuse_left;
use super::kept_bases::{self, Needed};
use super::plan::Plan;
use super::{Mode, Outcome, in_use, local, machines_that_run, on_card};
use crate::evidence::{self, Evidence};
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::pool::foreign;
use crate::pool::pending::{Kind, Pending};
use crate::pool::state;
use crate::pool::{Environment, Node, NodeLock, NodeName, Operand, Pool, deployed, layout, stage};
use crate::publish::{self, Published, dnsmasq, tftp};

/// The protections that apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// For an environment of a node that stays.
    Environment,
    /// For a whole node.
    Node,
}

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
    // One step: they leave the network together, and what fails with one keeps none of the others.
    plan.steps(sentences, |_| {
        withdraw(pool, &found, mode)?;
        discard_all(pool, &found, mode)
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
    plan.steps(sentences, |_| {
        all(&found, |Whole((node, envs))| {
            forget_names(pool, node, mode)?;
            withdraw(pool, envs, mode)?;
            if !node.record.data.is_empty() {
                publish::withdraw_below(pool, &pool.lock(mode.wait)?, &[&node.dir])?;
            }
            Needed::new(pool, envs)?.keep(pool, envs)?;
            stage::discard(&node.dir, &layout::nodes(pool.root()))
                .context("its names and exports are already removed")?;
            state::forget_node(&node.state)
        })?;
        kept_bases::forget_unneeded(pool, mode)
    });
    let done = plan.carry_out(locks)?;
    Ok(done.map(|_locks| found.iter().map(ToString::to_string).collect()))
}

/// The state of a node that protects its environments.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pool: &'a Pool,
    pending: Pending,
    evidence: Evidence,
}

impl<'a> Known<'a> {
    pub(super) fn new(pool: &'a Pool, node: &Node) -> Self {
        Self {
            pool,
            pending: Pending::read(&node.state),
            evidence: Evidence::now(node),
        }
    }

    /// Refuses if the node's active environment or pending boot cannot be determined.
    pub(super) fn refuse_unknown(&self, node: &Node) -> Result<()> {
        if let Pending::Unknown(why) = &self.pending {
            return Err(unreadable_pending(node, why).into());
        }
        node.refuse_unknown_active()
    }

    /// Returns whether an environment waits for machines of several to report another one.
    pub(super) fn waits_for_machines(&self, env: &Environment) -> bool {
        !env.active && !self.evidence.may_run_on(env).is_empty()
    }

    /// Refuses a protected environment, with the reason.
    pub(super) fn refuse(&self, node: &Node, env: &Environment, scope: Scope) -> Result<()> {
        self.pool
            .refuse_work(&env.node, &env.name, Duration::ZERO)?;
        refuse_what_is(&self.pending, node, env)?;
        on_card::refuse(node, env)?;
        refuse_by(&self.evidence, node, env)?;
        local::refuse_loaders_own(self.pool, env)?;
        if scope == Scope::Environment && env.active {
            return Err(Failure::refused(format!(
                "{env} is the active environment of {}",
                node.name
            ))
            .hint(node.how_to_activate(Some(&env.name)))
            .into());
        }
        if scope == Scope::Environment {
            node.refuse_unknown_active()?;
        }
        if scope == Scope::Environment && env.pinned() {
            return Err(Failure::refused(format!("{env} is pinned"))
                .hint(format!("netbe unpin {env}"))
                .into());
        }
        foreign::refuse(env, &foreign::in_env(&env.dir)?)?;
        in_use::refuse_used(env)
    }
}

/// Returns why an environment would not be destroyed; `None` if it would.
pub fn refusal(pool: &Pool, node: &Node, env: &Environment) -> Option<anyhow::Error> {
    let known = Known::new(pool, node);
    known.refuse(node, env, Scope::Environment).err()
}

fn refuse(pool: &Pool, node: &Node, envs: &[Environment], scope: Scope) -> Result<()> {
    let known = Known::new(pool, node);
    envs.iter()
        .try_for_each(|env| known.refuse(node, env, scope))
}

/// Returns the refusal for an environment that a machine runs or may run.
pub fn maybe_booted(node: &Node, env: &Environment, evidence: &Evidence) -> Failure {
    if let Some(by_machines) = machines_that_run::refusal(node, env, evidence) {
        return by_machines;
    }
    match evidence.booted(env) {
        Some(true) => Failure::refused(format!(
            "{} runs {env}: it has to boot another environment first",
            node.name
        ))
        .hint(format!("netbe status {}", node.name)),
        _ if evidence.is_used(env) => Failure::refused(format!(
            "{} may be running {env}: the NFS server has it in use (it drops unused entries within half an hour){}",
            node.name,
            unread(node, env)
        ))
        .hint(format!("netbe status {}", node.name)),
        _ if node.lost => Failure::refused(format!(
            "{} may be running {env}: it may have booted this environment and may still be running it{}",
            node.name,
            unread(node, env)
        ))
        // Without its record nothing can be said of its machine.
        .hint(node.how_to_restore()),
        _ => Failure::refused(format!(
            "{0} may be running {env}: it may have booted this environment and may still be running it, until it reports from \
             another one, or is said to be off for good by netbe set mac= serial= {0}{1}",
            node.name,
            unread(node, env)
        ))
        .hint(format!("netbe status {}", node.name)),
    }
}

/// Returns what could not be read that might tell.
fn unread(node: &Node, env: &Environment) -> String {
    let of_node = node.problems.iter().filter(|_| node.lost);
    let of_env = env.problems.iter().filter(|_| env.unread);
    of_node
        .chain(of_env)
        .map(|why| format!("; {why}"))
        .collect()
}

/// Unpublishes environments before they are deleted; the last check that refuses what was booted meanwhile.
pub(super) fn withdraw(pool: &Pool, envs: &[Environment], mode: Mode) -> Result<()> {
    let shared = pool.lock(mode.wait)?;
    for env in envs {
        refuse_booted(&pool.node(&env.node)?, env)?;
    }
    let envs: Vec<&Environment> = envs.iter().collect();
    publish::withdraw(pool, &shared, &envs).map(drop)
}

/// Deletes environments that no name leads to, and keeps those that a merge needs; durable when it returns.
fn discard_all(pool: &Pool, envs: &[Environment], mode: Mode) -> Result<()> {
    let needed = Needed::new(pool, envs)?;
    all(envs, |env| needed.discard(pool, env))?;
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
    let mut done = Published::default();
    dnsmasq::bring_node_up_to_date(pool, Some(&shared), &nameless, &mut done)
        .and_then(|()| tftp::bring_node_up_to_date(pool, Some(&shared), &nameless, &mut done))
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

fn sorted_nodes<'a>(names: impl Iterator<Item = &'a NodeName>) -> Vec<NodeName> {
    let mut names: Vec<NodeName> = names.cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Takes the locks of nodes, in order; none in a dry run.
fn take_all(pool: &Pool, names: &[NodeName], mode: Mode) -> Result<Option<Vec<NodeLock>>> {
    // A lock file for a name nobody has would be left behind by every typing error.
    let take = |name| pool.node(name).and_then(|_| mode.lock(pool, name));
    names.iter().map(take).collect()
}

/// Refuses an environment that a machine runs or may run now.
pub fn refuse_booted(node: &Node, env: &Environment) -> Result<()> {
    refuse_by(&Evidence::now(node), node, env)
}

fn refuse_by(evidence: &Evidence, node: &Node, env: &Environment) -> Result<()> {
    // An old entry of the NFS server is not use, but only if there is proof that the node has left the environment.
    let left = evidence.has_left(env)
        && (!evidence.is_used(env)
            || !evidence::is_used_still(env)
                .with_context(|| format!("reading the NFS server's tables for {env}"))?);
    match left {
        true => Ok(()),
        false => Err(maybe_booted(node, env, evidence).into()),
    }
}

/// Refuses the environment of a pending boot.
pub fn refuse_pending(node: &Node, env: &Environment) -> Result<()> {
    refuse_what_is(&Pending::read(&node.state), node, env)
}

fn refuse_what_is(pending: &Pending, node: &Node, env: &Environment) -> Result<()> {
    let boot = match pending {
        Pending::Unknown(why) => return Err(unreadable_pending(node, why).into()),
        Pending::Boot(boot) if boot.env == env.name => boot,
        _ => return Ok(()),
    };
    let why = match (boot.kind, boot.is_waiting()) {
        (Kind::Once, true) => format!("{env} is to be booted once"),
        (Kind::Once, false) => format!("{env} was booted once, and may be running"),
        (Kind::Try, _) => format!("{env} is on trial"),
    };
    Err(Failure::refused(why).hint(cancelling(node)).into())
}

fn unreadable_pending(node: &Node, why: &str) -> Failure {
    let what = format!("the pending boot of {} cannot be read: {why}", node.name);
    Failure::refused(what).hint(cancelling(node))
}

fn cancelling(node: &Node) -> String {
    format!("netbe activate {} --cancel", node.name)
}
