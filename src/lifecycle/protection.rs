//! The rules that protect an environment from being destroyed, and a running one from other changes.
//!
//! Reads only: which environment a node boots next and runs, its pending boot, and what is in use on this machine.

use std::time::Duration;

use anyhow::{Context, Result};

use super::in_use::InUse;
use super::{local, machines_that_run, on_card};
use crate::evidence::{self, Evidence};
use crate::failure::Failure;
use crate::pool::foreign;
use crate::pool::pending::{Kind, Pending};
use crate::pool::{Environment, Node, Pool, deployed};

/// The protections that apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// For an environment of a node that stays.
    Environment,
    /// For a whole node.
    Node,
}

/// The state of a node that protects its environments.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pool: &'a Pool,
    pending: Pending,
    evidence: Evidence,
    /// The use of the pool on this machine.
    in_use: InUse,
}

impl<'a> Known<'a> {
    pub(super) fn new(pool: &'a Pool, node: &Node) -> Result<Self> {
        Ok(Self {
            pool,
            pending: Pending::read(&node.state),
            evidence: Evidence::now(node),
            in_use: InUse::look(pool.root())?,
        })
    }

    /// Refuses if the node's active environment or pending boot cannot be determined.
    pub(super) fn refuse_unknown(&self, node: &Node) -> Result<()> {
        if let Pending::Unknown(why) = &self.pending {
            return Err(unreadable_pending(node, why).into());
        }
        node.refuse_unknown_active()
    }

    /// Returns whether an environment is protected until machines, of several, report another one.
    pub(super) fn waits_for_machines(&self, env: &Environment) -> bool {
        !env.active && !self.evidence.may_run_on(env).is_empty()
    }

    /// Refuses a protected environment, with the reason.
    pub(super) fn refuse(&self, node: &Node, env: &Environment, scope: Scope) -> Result<()> {
        self.pool
            .refuse_work(&env.node, &env.name, Duration::ZERO)?;
        deployed::refuse_work(env, Duration::ZERO)?;
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
        self.in_use.refuse(env)
    }
}

/// Returns why an environment would not be destroyed; `None` if it would.
pub(super) fn refusal(pool: &Pool, node: &Node, env: &Environment) -> Option<anyhow::Error> {
    let known = Known::new(pool, node);
    known
        .and_then(|known| known.refuse(node, env, Scope::Environment))
        .err()
}

/// Returns the refusal for an environment that a machine runs or may run.
fn maybe_booted(node: &Node, env: &Environment, evidence: &Evidence) -> Failure {
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
        // Without the node's record nothing is known of its machine.
        .hint(node.how_to_restore()),
        _ => Failure::refused(format!(
            "{0} may be running {env}: it may have booted this environment and may still be running it, until it reports from \
             another one, or is declared off for good by netbe set mac= serial= {0}{1}",
            node.name,
            unread(node, env)
        ))
        .hint(format!("netbe status {}", node.name)),
    }
}

/// Returns the evidence that could not be read, as a clause.
fn unread(node: &Node, env: &Environment) -> String {
    let of_node = node.problems.iter().filter(|_| node.lost);
    let of_env = env.problems.iter().filter(|_| env.unread);
    of_node
        .chain(of_env)
        .map(|why| format!("; {why}"))
        .collect()
}

/// Refuses an environment that a machine runs or may run now.
pub(super) fn refuse_booted(node: &Node, env: &Environment) -> Result<()> {
    refuse_by(&Evidence::now(node), node, env)
}

fn refuse_by(evidence: &Evidence, node: &Node, env: &Environment) -> Result<()> {
    // An old entry of the NFS server is not use, but only if there is proof that the node has left the environment.
    let left = evidence.has_left(env)
        && (!evidence.is_used(env)
            || !evidence::is_used_still(&env.dir)
                .with_context(|| format!("reading the NFS server's tables for {env}"))?);
    match left {
        true => Ok(()),
        false => Err(maybe_booted(node, env, evidence).into()),
    }
}

/// Refuses the environment of a pending boot.
pub(super) fn refuse_pending(node: &Node, env: &Environment) -> Result<()> {
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
