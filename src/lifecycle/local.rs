//! The pool on the disk that this machine boots from: the rules that hold only for that pool.
//!
//! Not for making it, which is `adopt`, nor for what package managers call, which is `local_hooks`.

use anyhow::Result;

use crate::evidence::{Evidence, this_machine};
use crate::failure::Failure;
use crate::pool::{Environment, Node, NodeName, Pool};

/// Properties of a node that is this machine itself.
const OF_THIS_MACHINE: &[&str] = &[
    "cmdline",
    "keep",
    "packages.before",
    "report",
    "upgrade.command",
    "upgrade.sync",
    "upgrade.network",
];

/// Returns whether a property means something in a pool.
pub(super) fn has(pool: &Pool, property: &str) -> bool {
    pool.local().is_none() || OF_THIS_MACHINE.contains(&property)
}

/// Returns the node that this machine is; `None` of a pool for machines of the network.
pub fn node_of(pool: &Pool) -> Option<NodeName> {
    pool.local()?.node.parse().ok()
}

/// Returns the node of the pool on the disk that this machine boots from, if it has one.
pub fn node() -> Option<NodeName> {
    let (_, pool) = Pool::of_this_machine()?;
    node_of(&pool.ok()?)
}

/// Refuses a change that has no use in the pool of this machine.
///
/// # Errors
/// A refusal that says why.
pub fn refuse(pool: &Pool, what: impl std::fmt::Display) -> Result<()> {
    match pool.local() {
        None => Ok(()),
        Some(local) => Err(Failure::refused(format!(
            "{what}: the pool in {} is on the disk of {}, which boots from that alone, and offers nothing to other machines",
            pool.root().display(),
            local.node
        ))
        .hint("netbe list")
        .into()),
    }
}

/// Refuses to give this machine's node another name.
pub(super) fn refuse_rename(node: &Node) -> Result<()> {
    if !node.is_this_machine {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} is this machine, by a name that its loader goes by too: only its environments can be renamed",
        node.name
    ))
    .hint("netbe list")
    .into())
}

/// Refuses properties that the pool of this machine has no use for.
pub(super) fn refuse_properties(pool: &Pool, values: &[(String, String)]) -> Result<()> {
    let other = values.iter().find(|(name, _)| !has(pool, name));
    other.map_or(Ok(()), |(name, _)| {
        refuse(pool, format_args!("{name} cannot be set"))
    })
}

/// Refuses to destroy the environment that holds the own files of the loader that started this machine.
///
/// # Errors
/// A refusal with the remedy: the machine would not start again.
pub(super) fn refuse_loaders_own(pool: &Pool, env: &Environment) -> Result<()> {
    let own = pool.own_root(&env.node, &env.name);
    if !own.is_some_and(|own| this_machine::was_started_from(&own.boot)) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "GRUB was installed in {env}, and reads its own files there: without them this machine would not start; install it again \
         in another one (grub-install), and boot that"
    ))
    .hint("cat /proc/cmdline")
    .into())
}

/// Returns the environment that this machine runs.
pub fn running(pool: &Pool) -> Result<Option<Environment>> {
    let Some(name) = node_of(pool) else {
        return Ok(None);
    };
    let Ok(node) = pool.node(&name) else {
        // The machine is being adopted, or that was interrupted.
        return Ok(None);
    };
    let evidence = Evidence::recent(&node);
    let envs = node.environments()?;
    Ok(envs
        .into_iter()
        .find(|env| evidence.booted(env) == Some(true)))
}
