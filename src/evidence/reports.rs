//! The reports of environments: a file in their root, or one for each machine, written by the unit of `boot::report`.
//!
//! The content is the node's claim, and its reading is bounded; the time of writing is by this machine's clock. Not for
//! conclusions: [`super`].

use std::fs::{File, Metadata};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::boots::{self, How, Seen};
use super::machines::{self, MachineReport};
use super::report_file::read;
use crate::boot::report::{self, Report};
use crate::fs::rooted::Tree;
use crate::pool::pending::Pending;
use crate::pool::{EnvName, Environment, Node, layout};

/// The age up to which a report proves that the node still runs there: no machine can boot, get a reboot command and
/// pass its firmware again in less.
const FRESH: SignedDuration = SignedDuration::from_mins(2);

/// How many boot IDs are recorded as reported, besides those of machines; a node has one for each environment, and some for
/// destroyed ones.
const BOOT_IDS: usize = 1024;

/// Returns an environment's report, with its status change time, which is by this machine's clock and cannot be set by
/// the node.
pub fn reported(env: &Environment) -> Option<(Timestamp, Report)> {
    let node_dir = env.dir.ancestors().nth(2)?;
    last_of(node_dir, &env.name, &machines::reports(node_dir))
}

/// Returns the last report of an environment: in its root, or by one of the machines whose root is read-only.
pub(super) fn last_of(
    node_dir: &Path,
    env: &EnvName,
    of_machines: &[MachineReport],
) -> Option<(Timestamp, Report)> {
    let root = node_dir.join(layout::ENVS).join(env.as_str());
    let own = in_root(&root.join(layout::ROOT));
    let its = of_machines.iter().filter(|its| its.env == env.as_str());
    let last = its.max_by_key(|its| its.time);
    let last = last.map(|its| (its.time, its.report.clone()));
    own.into_iter().chain(last).max_by_key(|(time, _)| *time)
}

/// Returns the report in a root half; four system calls without a report, since a list reads every node's.
pub(super) fn in_root(root: &Path) -> Option<(Timestamp, Report)> {
    // A link in its place could lead to another environment's report.
    root.symlink_metadata().ok().filter(Metadata::is_dir)?;
    let root = Tree::open(root).ok()?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
    read(File::from(
        root.open_at(report::FILE, flags, Mode::empty()).ok()?,
    ))
}

/// Returns whether a report is of a boot after the node's names were last led to the environment, and not copied with
/// its files.
pub(super) fn is_of_a_boot(env: &Environment, time: Timestamp, report: &Report) -> bool {
    let Some(record) = &env.record else {
        return false;
    };
    match &record.led {
        Some(led) => time >= led.since && led.boot_id.as_ref() != Some(&report.boot_id),
        // An older netbe led the names to it.
        None => record.served,
    }
}

/// Records the reports of the environments that a node's names lead to, before the names change: reports are read only
/// there.
///
/// Best effort: without these records more environments count as maybe running, which is safe.
pub fn keep_reports(node: &Node) {
    let pending = Pending::read(&node.state);
    let pending = pending.boot().map(|boot| &boot.env);
    let known = boots::read(&node.state);
    for name in node.active.iter().chain(pending) {
        let Some(seen) = report_of(node, name) else {
            continue;
        };
        let is_it = |s: &Seen| s.boot_id == seen.boot_id && s.env == seen.env && s.how == seen.how;
        if !known.iter().any(is_it) {
            let _ = boots::add(&node.state, &seen);
        }
    }
}

fn report_of(node: &Node, name: &EnvName) -> Option<Seen> {
    let env = Environment::observe(node, name).ok()??;
    let (time, report) = reported(&env)?;
    is_of_a_boot(&env, time, &report).then(|| Seen {
        boot_id: Some(report.boot_id),
        ..Seen::of(&env, How::Report, time)
    })
}

/// Returns when an environment on trial completed its boot, and the boot ID, if no other environment was fetched since:
/// then the node runs it, and has left the others before.
///
/// Only for a short time, since a fetch from another server is not observed.
pub fn of_pending(node: &Node, env: &Environment) -> Option<(Timestamp, String)> {
    let pending = Pending::read(&node.state);
    let boot = pending.boot().filter(|boot| boot.env == env.name)?;
    let seen = report_of(node, &env.name)?;
    let age = Timestamp::now().duration_since(seen.time);
    let is_fresh = (0..FRESH.as_secs()).contains(&age.as_secs());
    let others = boots::read(&node.state);
    let others = others
        .iter()
        .any(|s| s.time >= seen.time && s.env != seen.env);
    let begun = boot.since.is_some_and(|since| seen.time >= since);
    let known = boot.boot_id_before.is_some() && boot.boot_id_before == seen.boot_id;
    (is_fresh && begun && !others && !known).then_some((seen.time, seen.boot_id?))
}

/// Returns the boot IDs that a node's environments have reported.
pub fn boot_ids(node: &Node) -> Vec<String> {
    let seen = boots::read(&node.state);
    let mut boot_ids: Vec<String> = seen.into_iter().filter_map(|s| s.boot_id).collect();
    for name in node.environment_names().unwrap_or_default() {
        let root = node.dir.join(layout::ENVS).join(name.as_str());
        let report = in_root(&root.join(layout::ROOT));
        boot_ids.extend(report.map(|(_, report)| report.boot_id));
    }
    boot_ids.sort();
    boot_ids.dedup();
    boot_ids.truncate(BOOT_IDS);
    // One boot ID for each machine, whose number is bounded.
    let of_machines = machines::reports(&node.dir).into_iter();
    boot_ids.extend(of_machines.map(|of_machine| of_machine.report.boot_id));
    boot_ids.sort();
    boot_ids.dedup();
    boot_ids
}
