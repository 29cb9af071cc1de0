//! Letting identical files of different environments share their space again: `dedupe`.
//!
//! What was made from one environment and then upgraded by itself holds the same new files over and over. Files of the
//! same path and size, in the same half, are candidates; those that share all their space already are known by the
//! trees and not read. The others are read, each content once, and where they are the same the kernel compares them
//! again, with both locked, and lets them share. So the content and times of no file change, also not of one that a
//! machine uses or writes meanwhile, and every environment takes part: active, booted, pinned. Large files that differ in
//! a few blocks share all but these, by the same means.
//!
//! Locks: nothing netbe knows is changed, and what is stopped half-way is as good as finished, so nobody has to be kept
//! out for that. But an environment with an open file is in use, and `destroy` would refuse it. So files are open only
//! under the lock of their node, beside others who need it to stay, and that is let go of every second for longer than
//! a waiting netbe takes to try again. Nodes that are being changed are left for the end. Not for copies within one
//! environment.

mod candidates;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};

use self::candidates::{Candidates, Group, Version};
use self::turns::{Entered, Turns};
use super::Mode;
use super::bring_in::Progress;
use crate::pool::lock::DedupeLock;
use crate::pool::{Environment, NodeName, Pool};
use crate::storage::dedupe::{self, Answer};
use crate::storage::search::items::DiskExtent;
use crate::storage::{alike, btrfs, interrupt, stored};

/// How many different contents of one path are kept to compare others with: a machine's own data differs on each, and
/// comparing all with all would take the square of their number.
const CONTENTS: usize = 16;

/// From which size on files are shared that differ in a few blocks, in bytes: the caches of package managers, above all,
/// differ in nothing but a time.
const NEARLY: u64 = 1 << 20;

/// What came of it, or in a dry run what would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// How many environments took part.
    pub environments: usize,
    /// How many files of each environment share anew, by `NODE/ENV`.
    pub files: BTreeMap<String, usize>,
    /// What came back, or would, in bytes on disk.
    pub gained: u64,
    /// Nodes that another netbe changed for longer than was waited.
    pub busy: Vec<NodeName>,
    /// What went wrong, a sentence each.
    pub warnings: Vec<String>,
    /// Whether it was stopped.
    pub stopped: bool,
}

impl Shared {
    /// Returns how many files share anew.
    pub fn total(&self) -> usize {
        self.files.values().sum()
    }
}

/// Shares what is the same in the environments of these nodes, and those they came from; of all without one.
///
/// # Errors
/// `NotFound` for a node that is not there; `Locked` while another one is at it.
pub fn dedupe(
    pool: &Pool,
    nodes: &[NodeName],
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<Shared> {
    let envs = candidates::environments(pool, nodes)?;
    let _lock = match mode.dry_run {
        true => None,
        false => Some(DedupeLock::take(pool.root(), mode.wait)?),
    };
    progress.phase("Waiting for the disk");
    // What waits in memory is in no tree yet.
    btrfs::sync(pool.root())?;
    let mut work = Work {
        turns: Turns::new(pool, mode),
        dry_run: mode.dry_run,
        done: Shared {
            environments: envs.len(),
            ..Shared::default()
        },
        left: HashMap::new(),
        again: 0,
        read: 0,
        total: None,
    };
    let candidates = Candidates::find(pool, envs, &mut work.turns, progress, mode)?;
    work.done.busy.extend(candidates.busy.iter().cloned());
    work.total = Some(candidates.groups.iter().map(Group::bytes).sum());
    progress.phase("Comparing");
    let ended = work.all(&candidates, progress);
    work.turns.end();
    work.finish(pool, &candidates, ended)
}

/// The work in hand.
struct Work<'a> {
    turns: Turns<'a>,
    dry_run: bool,
    done: Shared,
    /// The extents that were let go of, by where they begin; and in a dry run how often they would be.
    left: HashMap<u64, (DiskExtent, u32)>,
    /// What was given space of its own again, in bytes.
    again: u64,
    read: u64,
    total: Option<u64>,
}

/// What a version is the same as.
struct Like<'v> {
    version: &'v Version,
    /// The blocks that differ; none where it is the same.
    but: Vec<Range<u64>>,
}

impl Work<'_> {
    fn all(&mut self, candidates: &Candidates, progress: &mut dyn Progress) -> Result<()> {
        let mut waiting = Vec::new();
        for group in &candidates.groups {
            match self.turns.enter(&candidates.nodes(group))? {
                Entered::Yes => self.group(candidates, group, progress)?,
                Entered::Busy(_) => waiting.push(group),
            }
        }
        if !waiting.is_empty() {
            progress.phase("Waiting for nodes that are being changed");
        }
        let until = Instant::now() + self.turns.wait();
        for group in waiting {
            let nodes = candidates.nodes(group);
            match self.turns.enter_until(&nodes, until)? {
                Entered::Yes => self.group(candidates, group, progress)?,
                Entered::Busy(node) => {
                    if !self.done.busy.contains(&node) {
                        self.done.busy.push(node);
                    }
                }
            }
        }
        Ok(())
    }

    /// Shares what is the same under one path; one that cannot be read does not keep the others from it.
    fn group(
        &mut self,
        candidates: &Candidates,
        group: &Group,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut kept: Vec<&Version> = Vec::new();
        for version in &group.versions {
            interrupt::check()?;
            let like = self.find_like(candidates, group, &kept, version, progress);
            let result = like.and_then(|like| {
                let is_new = like.as_ref().is_none_or(|like| !like.but.is_empty());
                if is_new && kept.len() < CONTENTS {
                    kept.push(version);
                }
                like.map_or(Ok(()), |like| {
                    self.share_all(candidates, group, &like, version)
                })
            });
            if let Err(e) = result {
                interrupt::check()?;
                if is_hopeless(&e) {
                    return Err(e);
                }
                self.done.warnings.push(format!("{e:#}"));
            }
        }
        Ok(())
    }

    /// Returns the first of `kept` that holds what this version does; else one that nearly does.
    fn find_like<'v>(
        &mut self,
        candidates: &Candidates,
        group: &Group,
        kept: &[&'v Version],
        version: &Version,
        progress: &mut dyn Progress,
    ) -> Result<Option<Like<'v>>> {
        let Some((place, this)) = self.open_any(candidates, group, version)? else {
            return Ok(None);
        };
        let lies = self
            .turns
            .layout(&candidates.places[place], version.inode, group.size)?;
        let mut nearly = None;
        for like in kept {
            let Some((place, that)) = self.open_any(candidates, group, like)? else {
                continue;
            };
            let place = &candidates.places[place];
            let other = self.turns.layout(place, like.inode, group.size)?;
            let (read, total) = (&mut self.read, self.total);
            let mut told = |bytes: u64| {
                *read += bytes;
                progress.advance(*read, total.map(|t| t.max(*read)));
            };
            let ranges = lies.elsewhere(&other, group.size);
            // Only where extents of its own would go.
            let limit = match group.size {
                NEARLY.. => lies.own(&other) / 8,
                _ => 0,
            };
            match alike::differing(&this, &that, &ranges, limit, &mut told)? {
                Some(but) if but.is_empty() => return Ok(Some(Like { version: like, but })),
                Some(but) if nearly.is_none() => nearly = Some(Like { version: like, but }),
                _ => {}
            }
        }
        Ok(nearly)
    }

    /// Returns a file of a version, open, with its half; `None` where none is there any more.
    fn open_any(
        &mut self,
        candidates: &Candidates,
        group: &Group,
        version: &Version,
    ) -> Result<Option<(usize, Rc<File>)>> {
        for half in &version.halves {
            let place = &candidates.places[*half as usize];
            if let Some(file) = self.turns.open(place, version.inode, group.size)? {
                return Ok(Some((*half as usize, file)));
            }
        }
        Ok(None)
    }

    /// Lets every file of a version share the space of one that holds the same.
    fn share_all(
        &mut self,
        candidates: &Candidates,
        group: &Group,
        like: &Like<'_>,
        version: &Version,
    ) -> Result<()> {
        let Some((half, from)) = self.open_any(candidates, group, like.version)? else {
            return Ok(());
        };
        let place = &candidates.places[half];
        let target = self.turns.layout(place, like.version.inode, group.size)?;
        for half in &version.halves {
            interrupt::check()?;
            let place = &candidates.places[*half as usize];
            let Some(to) = self.turns.open(place, version.inode, group.size)? else {
                continue;
            };
            let layout = self.turns.layout(place, version.inode, group.size)?;
            let apart = layout.apart_from(&target);
            if apart.is_empty() {
                continue;
            }
            let share = || match like.but.is_empty() {
                _ if self.dry_run => Ok(Answer::Same),
                true => dedupe::share_extents(&from, &to, &apart),
                false => {
                    dedupe::share_all_but(&from, &to, group.size, &like.but, &candidates.beside)
                }
            };
            let what = || format!("sharing a file of {}", candidates.env(place));
            let shared = share().with_context(what)? == Answer::Same;
            if shared {
                self.again += like.but.iter().map(|r| r.end - r.start).sum::<u64>();
                let name = candidates.env(place).to_string();
                *self.done.files.entry(name).or_default() += 1;
                for (extent, times) in layout.extents {
                    self.left.entry(extent.start).or_insert((extent, 0)).1 += times;
                }
            }
        }
        Ok(())
    }

    /// Finds out what it came to; also where it was stopped.
    fn finish(mut self, pool: &Pool, candidates: &Candidates, ended: Result<()>) -> Result<Shared> {
        let gone = match self.dry_run {
            true => candidates.would_go(&self.left),
            false => {
                // Space comes back with the transaction.
                btrfs::sync(pool.root())?;
                let top = File::open(pool.root()).context("opening the pool")?;
                stored::gone(&top, self.left.values().map(|(extent, _)| extent))?
            }
        };
        self.done.gained = gone.saturating_sub(self.again);
        match ended {
            Ok(()) => {}
            Err(_) if interrupt::asked().is_some() => self.done.stopped = true,
            Err(e) => self.done.warnings.push(format!("{e:#}")),
        }
        Ok(self.done)
    }
}

/// Returns whether what failed for one file will fail for all others.
fn is_hopeless(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|e| e.downcast_ref::<std::io::Error>());
    io.is_some_and(|e| {
        matches!(
            e.kind(),
            ErrorKind::StorageFull | ErrorKind::ReadOnlyFilesystem | ErrorKind::QuotaExceeded
        )
    })
}

/// The nodes of environments, each once, in the order locks are taken.
fn nodes_of<'e>(envs: impl Iterator<Item = &'e Environment>) -> BTreeSet<NodeName> {
    envs.map(|env| env.node.clone()).collect()
}
