//! Changes of `mac` of a node with several machines: a change that takes the boot files from a machine that may be running
//! is refused, except with `--force`, by which the user confirms that the machine is off for good.
//!
//! Then its last boot is forgotten, and it protects no environment any more; if it runs after all, its next boot is
//! recorded. Not for a node with one machine.

use std::collections::HashSet;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::evidence::machine_fetches::{self, MachineFetch};
use crate::evidence::{Evidence, Machine};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::pool::{Node, NodeLock, NodeName, Pool, layout, properties};

/// How many machines a sentence names.
const NAMED: usize = 16;

/// Refuses a change that takes the boot files from a machine that has reported, or has fetched them; `anyway` is the
/// command with `--force`.
///
/// # Errors
/// A refusal that names the machine.
pub(super) fn refuse(pool: &Pool, before: &Node, after: &Node, anyway: &str) -> Result<()> {
    if after.is_for_any() {
        return Ok(());
    }
    let found = off_list(pool, before, after);
    let mut lose = found
        .iter()
        .filter(|machine| machine.named || before.is_for_any());
    let Some(machine) = lose.next().map(|machine| last(before, machine)) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{machine}, may be running it, and would lose its boot files"
    ))
    .hint_to("shut it down first, or say that it is off for good", anyway)
    .into())
}

/// Returns the last boot of a machine, in words.
fn last(node: &Node, machine: &Machine) -> String {
    let fetched = machine.fetched.iter().flatten();
    let fetched = fetched.max_by_key(|fetch| fetch.time);
    let (verb, env, time) = match (&machine.report, fetched) {
        (Some(its), _) => ("reported", &its.env, its.time),
        (None, Some(its)) => ("may have booted", &its.env, its.time),
        (None, None) => {
            return format!(
                "{} of {} may have booted an environment",
                machine.name, node.name
            );
        }
    };
    format!(
        "{} of {} {verb} {env} at {}",
        machine.name,
        node.name,
        time.strftime("%Y-%m-%d %H:%M UTC")
    )
}

/// The machines whose last boot a change forgets, since the change means that they are off for good.
#[derive(Debug, Default)]
pub(super) struct Forgotten(Vec<Machine>);

impl Forgotten {
    /// Finds the machines that no property names any more; of a node with `mac=any`, those not known to run the active
    /// environment.
    pub(super) fn of(pool: &Pool, before: &Node, after: &Node) -> Self {
        let active = before.active.as_ref().map(ToString::to_string);
        let mut machines = off_list(pool, before, after);
        machines.retain(|machine| {
            let reported = machine.report.as_ref().map(|its| &its.env);
            !after.is_for_any() || reported.is_none() || reported != active.as_ref()
        });
        Self(machines)
    }

    /// Returns the step as a sentence, which names some of them.
    pub(super) fn sentence(&self, node: &NodeName) -> Option<String> {
        let names: Vec<&str> = self.0.iter().map(|machine| machine.name.as_str()).collect();
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = names[..names.len().min(NAMED)].join(", ");
        (!names.is_empty()).then(|| {
            format!(
                "forget the last boot of {named}{more}: no environment of {node} is kept for that any more"
            )
        })
    }

    /// Forgets them.
    pub(super) fn forget(&self, lock: &NodeLock, node: &Node) -> Result<()> {
        lock.ensure_protects(&node.name)?;
        for machine in &self.0 {
            let forgetting = || format!("forgetting the last boot of {}", machine.name);
            if machine.report.is_some() {
                let tree = Tree::open(&node.dir.join(layout::REPORTS)).with_context(forgetting)?;
                tree.remove_file(&machine.name).with_context(forgetting)?;
            }
            machine_fetches::forget(&node.state, &machine.name).with_context(forgetting)?;
        }
        Ok(())
    }
}

/// Records, if `mac` becomes `any`, the environments that the machines named until then may be running.
///
/// Without a recorded fetch, evidence that they have left an environment is not searched for any more.
pub(super) fn keep(lock: &NodeLock, before: &Node, after: &Node) -> Result<()> {
    lock.ensure_protects(&before.name)?;
    if !after.is_for_any() || before.is_for_any() || !before.is_offered() {
        return Ok(());
    }
    let evidence = Evidence::now(before);
    let stay: HashSet<&str> = properties::addresses(&after.record).collect();
    let gone = properties::addresses(&before.record).filter(|mac| !stay.contains(mac));
    let gone: Vec<String> = gone.map(|mac| mac.replace(':', "-")).collect();
    for env in before.environments()? {
        let may_run = evidence.may_run_on(&env);
        let is_of_one = may_run.is_empty() && evidence.machines().is_empty();
        let runs = |name: &&String| match is_of_one {
            true => evidence.booted(&env) != Some(false),
            false => may_run.iter().any(|machine| machine.name == **name),
        };
        for machine in gone.iter().filter(runs) {
            let fetch = MachineFetch {
                env: env.name.to_string(),
                uuid: env.uuid().map(str::to_string),
                time: Timestamp::now(),
            };
            machine_fetches::record(&before.state, machine, fetch, |_| true)?;
        }
    }
    Ok(())
}

/// Returns the machines, of a node with several, that have records and that its properties do not name after a change.
fn off_list(pool: &Pool, before: &Node, after: &Node) -> Vec<Machine> {
    if !before.has_several_machines(pool) {
        return Vec::new();
    }
    let names: HashSet<String> = properties::addresses(&after.record)
        .map(|mac| mac.replace(':', "-"))
        .collect();
    let mut machines = Evidence::recent(before).machines().to_vec();
    machines.retain(|machine| {
        let is_known =
            machine.report.is_some() || machine.fetched.as_ref().is_none_or(|f| !f.is_empty());
        is_known && !names.contains(&machine.name)
    });
    machines
}
