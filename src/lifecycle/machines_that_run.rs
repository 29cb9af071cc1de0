//! The machines of a node with several that keep an environment from being destroyed, in words: which, since when, and what
//! ends that.
//!
//! Reads only. The rule is in `evidence`.

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
         good and its address is taken out of mac",
        node.name,
        machines.len(),
        evidence.machines().len(),
        named.join("; ")
    ));
    Some(refusal.hint(match without(node, &machines) {
        Some(macs) => format!("netbe set --force mac={macs} {}", node.name),
        None => format!("netbe status --json {}", node.name),
    }))
}

fn last(machine: &Machine) -> String {
    match &machine.report {
        None => format!("{} has not reported", machine.name),
        Some(its) => {
            let time = its.time.strftime("%Y-%m-%d %H:%M UTC");
            format!("{} reported {} at {time}", machine.name, its.env)
        }
    }
}

/// Returns the node's addresses without those of these machines; `None` where none is left, or too many.
fn without(node: &Node, machines: &[&Machine]) -> Option<String> {
    let macs = node.record.properties.get("mac")?;
    let stays = |mac: &&str| {
        let name = mac.replace(':', "-");
        !machines.iter().any(|machine| machine.name == name)
    };
    let left: Vec<&str> = macs.split(',').filter(stays).collect();
    (1..=ADDRESSES)
        .contains(&left.len())
        .then(|| left.join(","))
}
