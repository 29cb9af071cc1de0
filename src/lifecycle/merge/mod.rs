//! Merging the changes of one environment of a node into another: `merge`, and `activate --merge`.
//!
//! The result is a new environment: TO, with the changes of FROM since the two parted, path by path. Both stay as they are.
//! Each half of FROM is read from a snapshot, so it is of one instant. Promises that nothing of TO is lost, and that
//! conflicts are listed. The rules of which side a path is taken from are in [`crate::merge`].

mod apply;
mod base;
mod by_content;
mod find;
mod in_data;
mod left_behind;
mod packages;
mod run;
mod steps;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::apply::beside;
pub use self::find::Conflict;
pub use self::left_behind::{Taken, and_activate};
use self::run::Run;
use super::diff::files::Changed;
use super::{Mode, Outcome};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::merge::decide::Conflicts;
use crate::packages::Chosen;
use crate::pool::{EnvId, EnvName, Environment, NodeLock, Pool};
use crate::staged::{Complete, StagedEnvironment};

/// The request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment whose changes are taken.
    pub from: EnvId,
    /// The environment they are merged into.
    pub to: EnvId,
    /// The name of the new environment; without it, the name is the current time.
    pub name: Option<EnvName>,
    /// The requested paths, absolute as the node sees them; everything if empty.
    pub paths: Vec<PathBuf>,
    /// How conflicts are resolved.
    pub conflicts: Conflicts,
    /// Whether packages that FROM added and removed are installed and removed.
    pub packages: bool,
    /// The description.
    pub description: String,
    /// Whether the node is to boot the result next: then it must pass verification.
    pub boots_next: bool,
}

impl Request {
    fn check(&self) -> Result<()> {
        if self.from.node != self.to.node {
            return Err(Failure::refused(format!(
                "{} and {} are of two nodes",
                self.from, self.to
            ))
            .hint(format!(
                "netbe clone {} {}/{}",
                self.to, self.from.node, self.to.env
            ))
            .into());
        }
        for path in &self.paths {
            if !path.is_absolute() || path.components().any(|c| c.as_os_str() == "..") {
                return Err(Failure::usage(format!(
                    "{} is no absolute path of the node",
                    path.display()
                ))
                .into());
            }
        }
        Ok(())
    }
}

/// The result.
#[derive(Debug)]
pub struct Merged {
    /// The new environment; `None` if FROM changed nothing that TO does not have.
    pub id: Option<EnvId>,
    /// FROM.
    pub from: EnvId,
    /// TO.
    pub to: EnvId,
    /// The changes taken from FROM, sorted by path.
    pub taken: Vec<Changed>,
    /// How many of these went into the data of the node.
    pub in_data: usize,
    /// The conflicts, sorted by path.
    pub conflicts: Vec<Conflict>,
    /// Whether TO's version was requested for conflicts.
    pub ours: bool,
    /// The number of files that FROM changed, and that stay as in TO's packages.
    pub of_packages: usize,
    /// The packages that FROM added and removed.
    pub packages: Chosen,
    /// Whether these were installed and removed in the result.
    pub has_packages: bool,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

impl Merged {
    /// Returns whether no conflict is left for the user to resolve.
    pub fn is_decided(&self) -> bool {
        self.ours || self.conflicts.is_empty()
    }
}

impl Merged {
    /// Returns a summary of the changes, and a sentence for each conflict, for answers without a list.
    pub fn in_sentences(&self) -> Vec<String> {
        let taken = match self.taken.len() {
            0 => format!("{} had nothing to merge", self.from),
            1 => format!("1 change of {} was merged", self.from),
            more => format!("{more} changes of {} were merged", self.from),
        };
        let taken = match self.in_data {
            0 => taken,
            some => format!("{taken}, {some} of them into the node's data"),
        };
        let conflict = |conflict: &Conflict| {
            let beside = conflict.beside.as_ref();
            let beside = beside.map(|at| format!("; {}'s is {}", self.from, at.display()));
            let path = conflict.path.display();
            format!("{path}: {}{}", conflict.why, beside.unwrap_or_default())
        };
        let conflicts = self.conflicts.iter().map(conflict);
        std::iter::once(taken)
            .chain(conflicts)
            .chain(self.notes.iter().cloned())
            .collect()
    }
}

/// Merges the changes of one environment into a copy of another.
pub fn merge(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Merged>> {
    with_run(pool, request, mode, |run, lock| match lock {
        None => Ok(Outcome::Planned(run.steps()?.sentences)),
        Some(lock) => run.perform(lock, mode).map(Outcome::Done),
    })
}

/// Refuses, and calls `go` with the merge and, except in a dry run, the lock of its node.
fn with_run<T>(
    pool: &Pool,
    request: &Request,
    mode: Mode,
    go: impl FnOnce(&Run<'_>, Option<NodeLock>) -> Result<T>,
) -> Result<T> {
    request.check()?;
    let node = pool.node(&request.to.node)?;
    node.environment(&request.from.env)?;
    pool.refuse_work(&node.name, &request.from.env, mode.patience())?;
    let lock = mode.lock_idle(pool, &node.name, &request.to.env)?;
    let node = pool.node(&node.name)?;
    node.refuse_lost()?;
    if request.from == request.to {
        in_data::require(&node, &node.environment(&request.from.env)?)?;
    }
    let run = Run::new(pool, &node, node.environment(&request.to.env)?, request)?;
    run.refuse_packages()?;
    go(&run, lock)
}

/// Refuses what [`into_staged`] would refuse, of a copy of `to` that is not made yet; returns whether there are packages to
/// bring.
pub(super) fn refuse_into_copy(pool: &Pool, request: &Request, to: Environment) -> Result<bool> {
    let node = pool.node(&request.to.node)?;
    Run::into_staged(pool, &node, to, request)?.refuse_packages()
}

/// Merges the changes of one environment into a staged, complete one, and publishes the result under its name, also if
/// there was nothing to merge; the deletion of the stage is durable when it returns.
pub(super) fn into_staged(
    pool: &Pool,
    request: &Request,
    (staged, to): (StagedEnvironment, Complete),
    lock: NodeLock,
    mode: Mode,
) -> Result<Merged> {
    let node = pool.node(&request.to.node)?;
    let to = Environment::staged(&node, &request.to.env, staged.dir(), to.record);
    let merged = Run::into_staged(pool, &node, to, request)?.perform(lock, mode)?;
    drop(staged);
    subvolume::sync(&node.dir).context("making the deletion durable")?;
    Ok(merged)
}
