//! The machines whose addresses are taken out of a node's list: refused for one that may be running, unless that is forced,
//! which says that it is off for good.
//!
//! Then its report goes, and it keeps no environment any more; where it runs all the same, its next report tells. Not for a
//! node that is one machine.

use anyhow::{Context, Result};

use crate::evidence::machines::{self, MachineReport};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::pool::{Node, NodeLock, Pool, layout};

/// Refuses a change that takes the boot files from a machine that has reported; `anyway` is the command with `--force`.
///
/// # Errors
/// A refusal that names the machine.
pub(super) fn refuse(pool: &Pool, before: &Node, after: &Node, anyway: &str) -> Result<()> {
    let old = before.record.properties.get("mac");
    let was_in_list = |report: &MachineReport| {
        let mut names = old.iter().flat_map(|macs| macs.split(','));
        names.any(|mac| mac.replace(':', "-") == report.machine)
    };
    let Some(report) = off_list(pool, before, after).into_iter().find(was_in_list) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{} of {} reported {} at {}, may be running it, and would lose its boot files",
        report.machine,
        before.name,
        report.env,
        report.time.strftime("%Y-%m-%d %H:%M UTC")
    ))
    .hint_to("shut it down first, or say that it is off for good", anyway)
    .into())
}

/// Forgets the reports of the machines that are not in the list after a change.
pub(super) fn forget(lock: &NodeLock, pool: &Pool, before: &Node, after: &Node) -> Result<()> {
    lock.ensure_protects(&before.name)?;
    let reports = off_list(pool, before, after);
    if reports.is_empty() {
        return Ok(());
    }
    let tree = Tree::open(&before.dir.join(layout::REPORTS))?;
    for report in reports {
        let forgetting = || format!("forgetting the report of {}", report.machine);
        tree.remove_file(&report.machine).with_context(forgetting)?;
    }
    Ok(())
}

/// Returns the reports of machines whose addresses a node does not have after a change, where it has several machines before.
fn off_list(pool: &Pool, before: &Node, after: &Node) -> Vec<MachineReport> {
    if !before.has_several_machines(pool) {
        return Vec::new();
    }
    let macs = after.record.properties.get("mac");
    let names: Vec<String> = macs
        .iter()
        .flat_map(|macs| macs.split(','))
        .map(|mac| mac.replace(':', "-"))
        .collect();
    let mut reports = machines::reports(&before.dir);
    reports
        .retain(|report| machines::is_address(&report.machine) && !names.contains(&report.machine));
    reports
}
