//! A new environment that is to be what its node boots next: what `-a` means to `create`, `clone` and `upgrade`.
//!
//! It is made first and activated then, so one can be done without the other. Promises that who asked is told
//! then how to do the other: asking for both again is refused, as the name is taken. Not for activating itself.

use anyhow::{Error, Result};

use super::staged::Made;
use super::{Held, Mode, activate};
use crate::failure::Failure;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool};

/// Adds, to the refusal of a name that a sound environment has, how to activate that: perhaps a command that was
/// interrupted has made it, and was asked to activate it.
pub(super) fn to_activate(error: Error, node: Option<&Node>, target: &Operand) -> Error {
    let may_be_it = |env: &Environment| !env.active && env.problems.is_empty();
    let there = match (node, &target.env) {
        (Some(node), Some(name)) => node.environment(name).ok().filter(may_be_it),
        _ => None,
    };
    match (error.downcast::<Failure>(), there) {
        (Ok(refusal), Some(env)) => refusal
            .hint(format!("if it is what is wanted: netbe activate {env}"))
            .into(),
        (Ok(refusal), None) => refusal.into(),
        (Err(error), _) => error,
    }
}

/// Activates the environment that was made; returns warnings, a sentence each.
///
/// # Errors
/// As [`activate::for_good`], saying that the environment is there, and how to activate it.
pub(super) fn activate(
    pool: &Pool,
    lock: &NodeLock,
    node: &NodeName,
    env: &EnvName,
    made: &Made,
    mode: Mode,
) -> Result<Vec<String>> {
    let activated = || {
        let node = pool.node(node)?;
        let env = node.environment(env)?;
        let mut held = Held::take(pool, lock, mode)?;
        activate::for_good(&mut held, &node, &made.verified(&env)?)?;
        Ok(held.warnings)
    };
    activated().map_err(|error| only_made(&EnvId::new(node, env), &error))
}

fn only_made(name: &EnvId, error: &Error) -> Error {
    let mut failure = Failure::failed(format!("created {name}; activating it: {error:#}"))
        .hint(format!("to boot it next: netbe activate {name}"));
    if let Some(why) = error.downcast_ref::<Failure>() {
        failure.kind = why.kind;
    }
    failure.into()
}
