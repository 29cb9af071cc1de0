//! Environments whose boot files differ from the properties: the server has another address, or the pool another path.
//!
//! One command rewrites all of them, so they are one finding. Not for the properties themselves.

use super::{Finding, Repair};
use crate::lifecycle::addresses::SERVER;
use crate::pool::{Environment, Node, NodeName};

/// Returns the finding for an environment whose boot files only have to be rewritten from the properties.
pub(super) fn finding(node: &Node, env: &Environment, reasons: &[String]) -> Finding {
    let disk = env.disk();
    if let Some(disk) = disk {
        // `deploy` was interrupted before its last step: until the repair, the node boots what it booted before.
        return Finding::repairable(
            env,
            format!(
                "its root is on {}, and its boot files do not say so: {}",
                disk.device,
                reasons.join("; ")
            ),
            Repair::LeadToDisk(node.name.clone(), env.name.clone()),
        );
    }
    let problem = format!("it would not boot: {}", reasons.join("; "));
    let remedy = format!("netbe set --existing {}", env.node);
    Finding {
        stale: true,
        ..Finding::new(env, problem, remedy)
    }
}

/// Combines the findings of several such environments into one.
///
/// Leaves them out if the server's address is wrong: they would be rewritten with it.
pub(super) fn gathered(mut found: Vec<Finding>, only: Option<&NodeName>) -> Vec<Finding> {
    let (stale, others): (Vec<Finding>, Vec<Finding>) =
        found.drain(..).partition(|finding| finding.stale);
    if others.iter().any(|finding| finding.about == SERVER) {
        return others;
    }
    let [first, second, more @ ..] = stale.as_slice() else {
        return others.into_iter().chain(stale).collect();
    };
    let more = match more.len() {
        0 => String::new(),
        number => format!(" and {number} more"),
    };
    let problem = format!(
        "{}, {}{more} would not boot: their boot files and fstab are not as the properties are set ({})",
        first.about, second.about, first.problem
    );
    let node = only.map(|node| format!(" {node}"));
    let remedy = format!("netbe set --existing{}", node.unwrap_or_default());
    let one = Finding::new("boot files", problem, remedy);
    std::iter::once(one).chain(others).collect()
}
