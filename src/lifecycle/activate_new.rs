//! Activating a new environment: `-a` of `create`, `clone` and `upgrade`.
//!
//! The environment is made first and then activated, so an interruption can leave it not activated. Promises a hint how
//! to activate it then, since the same command again is refused: the name is taken. Not for activating itself.

use anyhow::{Error, Result};

use super::{Held, Mode, activate, left_behind};
use crate::failure::Failure;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool};
use crate::staged::Made;

/// Adds to the refusal of a name that is taken the hint to activate that environment: an interrupted command may have
/// made it.
pub(super) fn to_activate(error: Error, node: Option<&Node>, target: &Operand) -> Error {
    let may_be_it = |env: &Environment| !env.active && env.problems.is_empty();
    let there = match (node, &target.env) {
        (Some(node), Some(name)) => node.environment(name).ok().filter(may_be_it),
        _ => None,
    };
    match (error.downcast::<Failure>(), there) {
        (Ok(refusal), Some(env)) => refusal
            .hint_to(
                "to activate the existing one",
                format!("netbe activate {env}"),
            )
            .into(),
        (Ok(refusal), None) => refusal.into(),
        (Err(error), _) => error,
    }
}

/// Activates the new environment; returns warnings, a sentence each.
///
/// # Errors
/// Those of [`activate::for_good`], with the hint to activate the environment.
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
        held.warnings
            .extend(left_behind::warnings(pool, &node, &env));
        activate::for_good(&mut held, &node, &made.verified(&env)?)?;
        Ok(held.warnings)
    };
    let new = EnvId::new(node, env);
    activated().map_err(|error| only_made(&new, "", &error))
}

/// Returns the error for a new environment that was to be booted next, by `activate` with these options.
pub(super) fn only_made(name: &EnvId, options: &str, error: &Error) -> Error {
    let mut failure = Failure::failed(format!("created {name}; activating it: {error:#}"))
        .hint_to("to boot it next", format!("netbe activate {options}{name}"));
    if let Some(why) = error.downcast_ref::<Failure>() {
        failure.kind = why.kind;
    }
    failure.into()
}
