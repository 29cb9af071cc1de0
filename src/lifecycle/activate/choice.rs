//! Which environment `activate` and `rollback` choose if only a node is named, or nothing.
//!
//! Promises that a node stands for an environment that was proposed as its next one (made by `upgrade`, or from another
//! system), for its pending boot, or for one that it has booted since, and never for a copy that was made for another
//! purpose. Environments are ordered by their creation, not by the clock. Reads only.

use anyhow::Result;

use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::pool::pending::Pending;
use crate::pool::{EnvId, EnvRecord, Environment, Node, NodeName, Operand, Pool};

/// The chosen environment.
#[derive(Debug)]
pub struct Choice {
    /// The environment.
    pub env: Environment,
    /// The other candidates, a sentence each.
    pub notes: Vec<String>,
}

impl From<Environment> for Choice {
    fn from(env: Environment) -> Self {
        Self {
            env,
            notes: Vec::new(),
        }
    }
}

impl Choice {
    /// Returns the previously active environment.
    ///
    /// # Errors
    /// A refusal if there is none, or if it may be one that cannot be read.
    pub(super) fn previous(node: &Node) -> Result<Self> {
        let envs = node.environments()?;
        refuse_unread(&envs)?;
        previous_of(&envs).cloned().map(Self::from).ok_or_else(|| {
            Failure::refused(format!(
                "{} has no previously active environment",
                node.name
            ))
            .hint(format!("netbe list {}", node.name))
            .into()
        })
    }
}

/// Returns the named environment, else the newest proposed one of the named node, else the only proposed one of the pool.
///
/// `options` are those of the command, each with a space after it: they stand in the commands of hints, too.
pub fn choose(pool: &Pool, operand: Option<&Operand>, options: &str) -> Result<Choice> {
    match operand {
        Some(Operand {
            node,
            env: Some(env),
        }) => pool.environment(node, env).map(Choice::from),
        Some(Operand { node, env: None }) => choose_for_node(&pool.node(node)?, options),
        None => choose_for_any(pool, options),
    }
}

fn choose_for_node(node: &Node, options: &str) -> Result<Choice> {
    let envs = node.environments()?;
    let mut proposed = candidates(node, &envs)?;
    if let Some(env) = proposed.pop() {
        let too = |other: &&Environment| {
            format!("{other} was made to be booted next, too: netbe activate {options}{other}")
        };
        return Ok(Choice {
            env: env.clone(),
            notes: proposed.iter().rev().map(too).collect(),
        });
    }
    let copies: Vec<&Environment> = newer(&envs).collect();
    let Some(newest) = copies.iter().max_by_key(|env| env.order()) else {
        // Nothing is newer: the active environment stays, and its link and exports are updated.
        return node.active_environment().map(Choice::from);
    };
    let names: Vec<String> = copies.iter().map(ToString::to_string).collect();
    Err(Failure::refused(format!(
        "{} has no upgrade to activate; its newer environments were not made by one: {}",
        node.name,
        names.join(", ")
    ))
    .hint(format!("netbe activate {options}{newest}"))
    .into())
}

fn choose_for_any(pool: &Pool, options: &str) -> Result<Choice> {
    let nodes = proposed(pool)?;
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    match nodes.as_slice() {
        [only] => choose_for_node(&pool.node(only)?, options),
        [] => Err(Failure::refused("no node has an upgrade to activate")
            .hint("netbe list")
            .into()),
        _ => Err(Failure::refused(format!(
            "several nodes have an upgrade to activate: {}",
            names.join(", ")
        ))
        .hint(format!("netbe activate {options}{}", names.join(" ")))
        .into()),
    }
}

/// Returns the nodes, save templates, that have something to activate.
pub fn proposed(pool: &Pool) -> Result<Vec<NodeName>> {
    nodes_with(pool, |node, envs| Ok(!candidates(node, envs)?.is_empty()))
}

/// Returns the nodes, save templates, that have a previously active environment.
pub fn can_roll_back(pool: &Pool) -> Result<Vec<NodeName>> {
    nodes_with(pool, |_, envs| Ok(previous_of(envs).is_some()))
}

fn nodes_with(
    pool: &Pool,
    has: impl Fn(&Node, &[Environment]) -> Result<bool>,
) -> Result<Vec<NodeName>> {
    let mut nodes = pool.nodes()?;
    nodes.retain(|node| {
        let found = node.environments().and_then(|envs| has(node, &envs));
        // A node with an unreadable environment counts: the choice itself reports the error.
        !node.is_template() && found.unwrap_or(true)
    });
    Ok(nodes.into_iter().map(|node| node.name).collect())
}

/// Returns the environments that a node alone can stand for, in the order of creation.
///
/// # Errors
/// A refusal if an environment cannot be read, since it may be a candidate.
fn candidates<'a>(node: &Node, envs: &'a [Environment]) -> Result<Vec<&'a Environment>> {
    refuse_unread(envs)?;
    let pending = Pending::read(&node.state);
    let evidence = Evidence::recent(node);
    let is_pending = |env: &Environment| pending.boot().is_some_and(|boot| boot.env == env.name);
    let mut found: Vec<&Environment> = newer(envs)
        .filter(|env| is_proposed(env) || evidence.booted(env) == Some(true))
        .chain(envs.iter().filter(|env| !env.active && is_pending(env)))
        .collect();
    found.sort_by_key(|env| env.order());
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

fn is_proposed(env: &Environment) -> bool {
    env.record.as_ref().is_some_and(EnvRecord::is_proposed)
}

/// Returns the environments newer than the active one that have no problems.
fn newer(envs: &[Environment]) -> impl Iterator<Item = &Environment> {
    let active = envs.iter().find(|e| e.active).map(Environment::order);
    envs.iter()
        .filter(|e| !e.active && e.problems.is_empty())
        .filter(move |e| active.is_none_or(|a| e.order() > a))
}

/// Returns the newest proposed environment, if it is newer than the active one.
pub fn proposed_of(envs: &[Environment]) -> Option<&Environment> {
    newer(envs)
        .filter(|env| is_proposed(env))
        .max_by_key(|env| env.order())
}

/// Returns the note about an upgrade that was made before this one and not activated: the new one does not contain it.
pub fn made_before(pool: &Pool, made: &EnvId) -> Result<Option<String>> {
    let envs = pool.node(&made.node)?.environments()?;
    let others: Vec<&Environment> = newer(&envs)
        .filter(|env| is_proposed(env) && env.name != made.env)
        .collect();
    let newest = others.into_iter().max_by_key(|env| env.order());
    Ok(newest.map(|env| {
        format!("{env} was made before and never activated; {made} is made from what is active, and does not contain it")
    }))
}

/// Refuses to choose if an environment cannot be read, since it may be a candidate.
fn refuse_unread(envs: &[Environment]) -> Result<()> {
    let Some(env) = envs.iter().find(|e| e.unread) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{env} may be the newest environment, and cannot be read: {}",
        env.problems.join("; ")
    ))
    .hint(format!("netbe list {}", env.node))
    .into())
}

/// Returns the previously active environment, which `rollback` activates.
pub fn previous_of(envs: &[Environment]) -> Option<&Environment> {
    envs.iter()
        .filter(|e| !e.active)
        .filter_map(|e| {
            let record = e.record.as_ref()?;
            Some(((record.entered, record.left?), e))
        })
        .max_by_key(|(order, _)| *order)
        .map(|(_, env)| env)
}
