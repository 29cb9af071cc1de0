//! Sharing the extents of identical files in different environments: `dedupe`.
//!
//! Environments of one origin that were upgraded separately have the same new files, each with its own extents. Files of
//! the same path and size, in the same half, are candidates; those with the same extents are recognised in the trees and
//! not read. The others are read, each content once, and equal ones are shared by the kernel, which locks and compares
//! them again. So the content and times of no file change, even if a machine uses or writes it meanwhile, and every
//! environment is included: active, booted, pinned. Large files that differ in a few blocks share the others.
//!
//! Locks: no record is changed, and an interrupted deduplication leaves nothing unfinished, so the changes need no lock.
//! But an environment with an open file is in use, and `destroy` would refuse it. So files are open only under the
//! shared lock of their node, which is released every second for longer than another netbe waits between two attempts.
//! Nodes that are being changed come last. A dry run takes the same path without the one call that shares, so it finds and
//! refuses the same. Not for copies within one environment.

mod candidates;
mod node_locks;
mod place;
mod share;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;

use self::candidates::{Candidates, Group};
use self::node_locks::Turns;
use self::share::Work;
use super::Mode;
use super::import::unpack::Progress;
use crate::btrfs::subvolume;
use crate::pool::lock::WorkLock;
use crate::pool::{Environment, NodeName, Pool};
use crate::terminal::bytes;

/// The result, or that of a dry run.
#[derive(Debug, Default)]
pub struct Shared {
    /// How many environments took part.
    pub environments: usize,
    /// How many files of each environment were shared, by `NODE/ENV`.
    pub files: BTreeMap<String, usize>,
    /// The freed bytes on disk, or that would be.
    pub gained: u64,
    /// The failures; `Locked` if another netbe held a node's lock for longer than the wait.
    pub failures: Vec<anyhow::Error>,
    /// Whether it was interrupted.
    pub stopped: bool,
}

impl Shared {
    /// Returns how many files were shared.
    pub fn total(&self) -> usize {
        self.files.values().sum()
    }

    /// Returns what a dry run found that would be done, a sentence for each environment.
    pub fn steps(&self) -> Vec<String> {
        let one = |(env, count): (&String, &usize)| format!("share {} of {env}", files(*count));
        let mut steps: Vec<String> = self.files.iter().map(one).collect();
        if !steps.is_empty() {
            steps.push(format!("free {}", bytes(self.gained)));
        }
        steps
    }
}

/// Returns a number of files as text.
pub fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_string(),
        n => format!("{n} files"),
    }
}

/// Shares equal files in the environments of these nodes and their ancestors; without a node in all.
///
/// # Errors
/// `NotFound` for a node that does not exist; `Locked` during another deduplication.
pub fn dedupe(
    pool: &Pool,
    nodes: &[NodeName],
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<Shared> {
    let envs = candidates::environments(pool, nodes)?;
    let _lock = mode.unless_dry(|| WorkLock::to_share(pool.state(), mode.wait))?;
    progress.phase("Waiting for the disk");
    // Dirty data is not in the trees yet.
    subvolume::sync(pool.root())?;
    let mut work = Work {
        turns: Turns::new(pool, mode),
        dry_run: mode.dry_run,
        done: Shared {
            environments: envs.len(),
            ..Shared::default()
        },
        busy: BTreeSet::new(),
        dropped: HashMap::new(),
        rewritten: 0,
        read: 0,
        total: None,
    };
    let candidates = Candidates::find(pool, envs, &mut work.turns, progress, mode)?;
    work.busy.extend(candidates.busy.iter().cloned());
    work.total = Some(candidates.groups.iter().map(Group::bytes).sum());
    progress.phase("Comparing");
    let ended = work.all(&candidates, progress);
    work.turns.end();
    Ok(work.finish(pool, &candidates, ended))
}

/// The nodes of environments, each once, in the order locks are taken.
fn nodes_of<'e>(envs: impl Iterator<Item = &'e Environment>) -> BTreeSet<NodeName> {
    envs.map(|env| env.node.clone()).collect()
}
