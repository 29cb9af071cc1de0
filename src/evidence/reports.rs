//! What environments report of themselves: a file in their own root, by `boot::report`'s unit.
//!
//! The node's word, read beneath its root and bounded; that it was written, and when, is this machine's
//! own knowledge. Not for what follows from it: that is [`super`].

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::boots::{self, How, Seen};
use crate::boot::report::{self, Report};
use crate::fs::rooted::Tree;
use crate::pool::pending::Pending;
use crate::pool::{EnvName, Environment, Node, layout};

/// How old a report may be that says that the node is still where it came up: no machine is up, told to start again, and
/// past its firmware sooner.
const FRESH: SignedDuration = SignedDuration::from_mins(2);

/// How many boots are remembered as told of; a node has one for each environment, and some that are gone.
const TOLD: usize = 1024;

/// Returns an environment's report, with when it was written: the status change time, which is this
/// machine's clock and not the node's to choose.
pub fn reported(env: &Environment) -> Option<(Timestamp, Report)> {
    in_root(&env.root())
}

/// Returns the report in a root half; four system calls where there is none, for a list looks at every
/// node's.
pub(super) fn in_root(root: &Path) -> Option<(Timestamp, Report)> {
    // A link in its place leads to somebody else's report.
    root.symlink_metadata().ok().filter(Metadata::is_dir)?;
    let root = Tree::open(root).ok()?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
    let file = File::from(root.open_at(report::FILE, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    let nanoseconds = i32::try_from(metadata.ctime_nsec()).ok()?;
    let time = Timestamp::new(metadata.ctime(), nanoseconds).ok()?;
    let mut bytes = Vec::new();
    file.take(report::LIMIT).read_to_end(&mut bytes).ok()?;
    Some((time, report::parse(std::str::from_utf8(&bytes).ok()?)?))
}

/// Returns whether a report tells of a boot since machines were last led to the environment: not of one before, nor
/// what came along with its files.
pub(super) fn is_of_a_boot(env: &Environment, time: Timestamp, report: &Report) -> bool {
    let Some(record) = &env.record else {
        return false;
    };
    match &record.led {
        Some(led) => time >= led.since && led.told.as_ref() != Some(&report.boot_id),
        // An older netbe led machines to it.
        None => record.served,
    }
}

/// Writes down what the environments of a node report that machines are led to, before that becomes others: only there
/// is it looked for.
///
/// Best effort: without it, what the node runs is not known, and that is safe.
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
        time,
        env: env.name.to_string(),
        uuid: env.uuid().map(str::to_string),
        how: How::Report,
        file: None,
        size: None,
        kernel: false,
        client: None,
        whose: None,
        boot_id: Some(report.boot_id),
    })
}

/// Returns when an environment that was tried came up, and the boot it reported, where nothing of another has been
/// fetched since: then the node is in it, and left the others before that.
///
/// For a short time only: what is fetched from another server is not seen.
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
    let told_before = boot.told_before.is_some() && boot.told_before == seen.boot_id;
    (is_fresh && begun && !others && !told_before).then_some((seen.time, seen.boot_id?))
}

/// Returns the boots that a node's environments have reported, by the kernel's numbers of them.
pub fn told(node: &Node) -> Vec<String> {
    let seen = boots::read(&node.state);
    let mut told: Vec<String> = seen.into_iter().filter_map(|s| s.boot_id).collect();
    for name in node.environment_names().unwrap_or_default() {
        let root = node.dir.join(layout::ENVS).join(name.as_str());
        let report = in_root(&root.join(layout::ROOT));
        told.extend(report.map(|(_, report)| report.boot_id));
    }
    told.sort();
    told.dedup();
    told.truncate(TOLD);
    told
}
