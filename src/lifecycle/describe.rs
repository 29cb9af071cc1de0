//! The description of an environment, and whether it is pinned: `describe`, `pin`, `unpin`.
//!
//! Changes only `env.json`; the environment itself may be running.

use anyhow::Result;

use super::plan::Plan;
use super::{Mode, Outcome};
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::pool::record::EnvRecord;
use crate::pool::{Operand, Pool};

/// Sets the description; returns the environment's name.
pub fn describe(pool: &Pool, operand: &Operand, text: &str, mode: Mode) -> Result<Outcome<String>> {
    if text.chars().any(char::is_control) {
        return Err(Failure::usage("a description is one line without control characters").into());
    }
    let step = match text.is_empty() {
        true => "take the description away from".to_string(),
        false => "describe".to_string(),
    };
    change(pool, operand, &step, mode, |r| {
        r.description = text.to_string();
    })
}

/// Pins or unpins; returns the environment's name.
pub fn pin(pool: &Pool, operand: &Operand, pinned: bool, mode: Mode) -> Result<Outcome<String>> {
    let step = if pinned { "pin" } else { "unpin" };
    change(pool, operand, step, mode, |r| r.pinned = pinned)
}

fn change(
    pool: &Pool,
    operand: &Operand,
    step: &str,
    mode: Mode,
    edit: impl FnOnce(&mut EnvRecord),
) -> Result<Outcome<String>> {
    let env = pool.resolve(operand)?;
    let lock = mode.lock(pool, &env.node)?;
    let env = pool.environment(&env.node, &env.name)?;
    let mut record = env.record_for_change()?;
    edit(&mut record);
    let mut plan = Plan::new();
    plan.step(format!("{step} {env}"), |lock| {
        env.store(lock, &record, Durable::AtOnce)
    });
    Ok(plan.carry_out(lock)?.map(|_lock| env.to_string()))
}
