//! The machines, of a node with several, that keep an environment from being destroyed, in words: which, since when, and
//! what ends that.
//!
//! Reads only. The rule is in `evidence`.

use std::collections::HashSet;

use crate::evidence::{Evidence, Machine};
use crate::failure::Failure;
use crate::pool::{Environment, Node};

/// How many machines are named.
const NAMED: usize = 4;
/// Up to how many addresses a hint has.
const ADDRESSES: usize = 16;

/// Returns the refusal for an environment that some of several machines run or may run; `None` where it is active, or the
/// node is one machine.
pub(super) fn refusal(node: &Node, env: &Environment, evidence: &Evidence) -> Option<Failure> {
    let machines = evidence.may_run_on(env);
    if machines.is_empty() || env.active {
        return None;
    }
    let verb = match evidence.booted(env) {
        Some(true) => "runs",
        _ => "may be running",
    };
    let mut named: Vec<String> = machines.iter().take(NAMED).map(|one| last(one)).collect();
    if machines.len() > NAMED {
        named.push(format!("and {} more", machines.len() - NAMED));
    }
    let refusal = Failure::refused(format!(
        "{0} {verb} {env}, on {1} of its {2} machines ({3}), until each reports from another environment, or is off for \
         good and {4}",
        node.name,
        machines.len(),
        evidence.machines().len(),
        named.join("; "),
        match machines.iter().any(|machine| machine.named) {
            true => "its address is taken out of mac",
            false => "is forgotten",
        }
    ));
    Some(refusal.hint(match without(node, &machines) {
        Some(macs) => format!("netbe set --force mac={macs} {}", node.name),
        None => format!("netbe status --json {}", node.name),
    }))
}

fn last(machine: &Machine) -> String {
    let fetched = machine.fetched.iter().flatten();
    match (&machine.report, fetched.max_by_key(|fetch| fetch.time)) {
        (None, None) => format!("{} has not reported", machine.name),
        (None, Some(its)) => format!(
            "{} may have booted {} at {}, and has not reported",
            machine.name,
            its.env,
            its.time.strftime("%Y-%m-%d %H:%M UTC")
        ),
        (Some(its), _) => {
            let time = its.time.strftime("%Y-%m-%d %H:%M UTC");
            format!("{} reported {} at {time}", machine.name, its.env)
        }
    }
}

/// Returns the property `mac` of the node without these machines; `None` where nothing is left, or too many addresses.
fn without(node: &Node, machines: &[&Machine]) -> Option<String> {
    let macs = node.record.properties.get("mac")?;
    let gone: HashSet<&str> = machines.iter().map(|one| one.name.as_str()).collect();
    let stays = |mac: &&str| !gone.contains(mac.replace(':', "-").as_str());
    let left: Vec<&str> = macs.split(',').filter(stays).collect();
    (1..=ADDRESSES)
        .contains(&left.len())
        .then(|| left.join(","))
}
