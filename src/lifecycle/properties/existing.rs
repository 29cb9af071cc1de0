//! Environments that are there, brought along with the properties as they are set: `set --existing`.
//!
//! Boot files and fstab are written in place, each file in one step and only where it differs, so that a node which runs
//! the environment goes on, and needs no more than a reboot. A failure of one environment does not stop the others. Not
//! for the exports: those follow the properties by themselves.

use anyhow::{Context, Result};

use super::super::plan::Plan;
use super::super::staged;
use super::super::staged::boot_config::{self, Wanted};
use super::super::{Mode, Outcome};
use crate::btrfs::subvolume;
use crate::failure::hinted;
use crate::fs::atomic::Durable;
use crate::fs::interrupt;
use crate::pool::pending::Pending;
use crate::pool::{EnvId, EnvName, NodeName, Pool};

/// The environments that were brought along.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Their names.
    pub done: Vec<EnvId>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
    /// The failures, one for each environment that keeps what it was made with.
    pub failures: Vec<anyhow::Error>,
}

/// Writes the boot files and fstab of every environment of these nodes as the pool's properties are now.
///
/// # Errors
/// When they cannot be listed, and when netbe is interrupted.
pub(super) fn bring_along(pool: &Pool, nodes: &[NodeName], mode: Mode) -> Result<Outcome<Brought>> {
    let mut plan = Plan::new();
    for name in nodes {
        let node = pool.node(name)?;
        for env in node.environments()? {
            let (node, env) = (name.clone(), env.name);
            let id = EnvId::new(&node, &env);
            let sentence = format!("write the boot files and fstab of {id} as set");
            plan.step(sentence, move |brought: &mut Brought| {
                interrupt::check()?;
                match write(pool, &node, &env, mode) {
                    Ok(warnings) => {
                        brought.warnings.extend(warnings);
                        brought.done.push(id);
                    }
                    Err(e) => {
                        interrupt::check()?;
                        let e = hinted(e, || format!("netbe set --existing {node}"));
                        let what = format!("{id} keeps the boot files it had");
                        brought.failures.push(e.context(what));
                    }
                }
                Ok(())
            });
        }
    }
    plan.carry_out(mode.unless_dry(|| Ok(Brought::default()))?)
}

/// Writes those of one environment; returns warnings.
fn write(pool: &Pool, node: &NodeName, env: &EnvName, mode: Mode) -> Result<Vec<String>> {
    let lock = mode.lock_idle(pool, node, env)?;
    let lock = lock.context("it is not locked")?;
    let node = pool.node(node)?;
    node.refuse_lost()?;
    let env = node.environment(env)?;
    env.require_own_files()?;
    let mut record = env.record_for_change()?;
    let (root, boot) = (env.root(), env.boot());
    let mut wanted =
        Wanted::new(pool, &node.name, &node.record, &env.name, &record)?.while_it_runs();
    let pending = Pending::read(&node.state);
    if pending.boot().is_some_and(|boot| boot.env == env.name) {
        // It is on trial.
        wanted = wanted.keeping("panic");
    }
    // What boots next is not made what would not: where it was already, this is not why.
    let boots_next = env.active || pending.waiting().is_some_and(|boot| boot.env == env.name);
    if boots_next && !node.is_template() && record.would_not_boot.is_empty() {
        staged::refuse_unbootable(&env.id(), &wanted.reasons_once_written(&root, &boot)?)?;
    }
    let notes = boot_config::write(&wanted, &root, &boot, &mut record)?;
    let reasons = wanted.reasons_against(&root, &boot)?;
    let mut warnings: Vec<String> = notes.iter().map(|note| format!("{env}: {note}")).collect();
    if !node.is_template() {
        let told = |reason| format!("{env} would not boot: {reason}");
        warnings.extend(reasons.iter().map(told));
    }
    record.would_not_boot = reasons;
    env.store(&lock, &record, Durable::WithNextSync)?;
    subvolume::sync(&root).context("making it durable")?;
    Ok(warnings)
}
