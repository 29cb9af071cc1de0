//! Compares the candidates, and shares the extents of equal ones.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::super::import::unpack::Progress;
use super::super::plan;
use super::Shared;
use super::candidates::{Candidates, Group, Version};
use super::node_locks::{Entered, Turns};
use crate::btrfs::dedupe::{self, Answer};
use crate::btrfs::extents::{self, Layout};
use crate::btrfs::subvolume;
use crate::btrfs::tree_search::items::DiskExtent;
use crate::failure::Failure;
use crate::fs::{interrupt, opener, same_content};
use crate::pool::{Environment, NodeName, Pool};

/// The maximum number of different contents of one path to compare others with: machine-specific data differs in each
/// environment, and comparing all pairs would take quadratic time.
const CONTENTS: usize = 16;

/// The minimum size of files that are shared in part, in bytes: caches of package managers, for example, often differ
/// only in a time.
const NEARLY: u64 = 1 << 20;

/// The state of a deduplication.
pub(super) struct Work<'a> {
    pub turns: Turns<'a>,
    pub dry_run: bool,
    pub done: Shared,
    /// Nodes that another netbe kept locked for longer than the wait.
    pub busy: BTreeSet<NodeName>,
    /// The extents that were dropped, by their start; in a dry run, with the number of references that would be dropped.
    pub dropped: HashMap<u64, (DiskExtent, u32)>,
    /// Bytes of differing blocks that were written again, and take their own space.
    pub rewritten: u64,
    pub read: u64,
    /// The number of bytes to read.
    pub total: Option<u64>,
}

/// A version that equals another one, wholly or except for some blocks.
struct Like<'v> {
    version: &'v Version,
    /// The blocks that differ; empty if it is equal.
    but: Vec<Range<u64>>,
}

/// The file to share with, and the blocks that differ.
struct Source<'b> {
    file: Rc<File>,
    lies: Layout,
    but: &'b [Range<u64>],
}

impl Source<'_> {
    /// Returns the ranges of a file to share, if the kernel would share any.
    fn ranges(&self, to: &File, lies: &Layout) -> std::io::Result<Option<Vec<Range<u64>>>> {
        let apart = lies.unshared_ranges(&self.lies);
        Ok(match apart.is_empty() {
            false if dedupe::may_share(&self.file, to)? => Some(apart),
            _ => None,
        })
    }

    /// Returns whether the kernel found it equal.
    fn share(&self, to: &File, apart: &[Range<u64>], beside: &Path) -> std::io::Result<bool> {
        let answer = match self.but {
            [] => dedupe::share_extents(&self.file, to, apart)?,
            but => dedupe::share_all_but(&self.file, to, to.metadata()?.len(), but, beside)?,
        };
        Ok(answer == Answer::Same)
    }
}

impl Work<'_> {
    /// Compares and shares everything.
    pub(super) fn all(
        &mut self,
        candidates: &Candidates,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut waiting = Vec::new();
        for group in &candidates.groups {
            match self.turns.enter(&candidates.nodes(group))? {
                Entered::Yes => self.group(candidates, group, progress)?,
                Entered::Busy(_) => waiting.push(group),
            }
        }
        if !waiting.is_empty() {
            progress.phase("Waiting for the locks of nodes");
        }
        let until = Instant::now() + self.turns.wait();
        for group in waiting {
            let nodes = candidates.nodes(group);
            match self.turns.enter_until(&nodes, until)? {
                Entered::Yes => self.group(candidates, group, progress)?,
                Entered::Busy(node) => {
                    self.busy.insert(node);
                }
            }
        }
        Ok(())
    }

    /// Shares the equal files of one path; an unreadable one does not prevent the others.
    fn group(
        &mut self,
        candidates: &Candidates,
        group: &Group,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut distinct: Vec<&Version> = Vec::new();
        for version in &group.versions {
            interrupt::check()?;
            let like = self.find_like(candidates, group, &distinct, version, progress);
            // Counted whole, even if only a part of it was read.
            self.read += if distinct.is_empty() { 0 } else { group.size };
            let result = like.and_then(|like| {
                let is_new = like.as_ref().is_none_or(|like| !like.but.is_empty());
                if is_new && distinct.len() < CONTENTS {
                    distinct.push(version);
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
                self.done.failures.push(e);
            }
        }
        Ok(())
    }

    /// Returns the first of `kept` that is equal to this version, else one that is nearly equal.
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
        let (mut nearly, mut read) = (None, 0);
        for like in kept {
            let Some((place, that)) = self.open_any(candidates, group, like)? else {
                continue;
            };
            let place = &candidates.places[place];
            let other = self.turns.layout(place, like.inode, group.size)?;
            let mut tick = |bytes: u64| {
                read += bytes;
                progress.advance(self.read + read.min(group.size), self.total);
            };
            let ranges = lies.differing_ranges(&other, group.size);
            // A nearly equal file only if the version has extents of its own to free; after one is found, only equal files count.
            let limit = match group.size {
                NEARLY.. if nearly.is_none() => lies.exclusive_bytes(&other) / 8,
                _ => 0,
            };
            match same_content::differing(&this, &that, &ranges, limit, &mut tick)? {
                Some(but) if but.is_empty() => return Ok(Some(Like { version: like, but })),
                Some(but) if nearly.is_none() => nearly = Some(Like { version: like, but }),
                _ => {}
            }
        }
        Ok(nearly)
    }

    /// Returns an open file of a version, with its half; `None` if none exists any more.
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

    /// Shares the extents of a file with every file of an equal version.
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
        let mut source = Source {
            lies: self.turns.layout(place, like.version.inode, group.size)?,
            file: from,
            but: &like.but,
        };
        for half in &version.halves {
            interrupt::check()?;
            let place = &candidates.places[*half as usize];
            let Some(to) = self.turns.open(place, version.inode, group.size)? else {
                continue;
            };
            let lies = self.turns.layout(place, version.inode, group.size)?;
            let what = || format!("sharing a file of {}", candidates.env(place));
            let shared = plan::found_step(
                self.dry_run,
                || source.ranges(&to, &lies).with_context(what),
                |apart| {
                    let shared = source.share(&to, &apart, &candidates.beside);
                    shared.with_context(what)
                },
            )?;
            if !shared {
                continue;
            }
            self.note(candidates.env(place), &lies, source.but);
            if !source.but.is_empty() {
                // The other files of this version are equal to this one.
                source = Source {
                    lies: match self.dry_run {
                        true => source.lies,
                        false => self.turns.layout(place, version.inode, group.size)?,
                    },
                    file: to,
                    but: &[],
                };
            }
        }
        Ok(())
    }

    /// Records that a file dropped its old extents, except for these blocks.
    fn note(&mut self, env: &Environment, lay: &Layout, but: &[Range<u64>]) {
        self.rewritten += but.iter().map(|r| r.end - r.start).sum::<u64>();
        *self.done.files.entry(env.to_string()).or_default() += 1;
        for (extent, times) in &lay.extents {
            self.dropped.entry(extent.start).or_insert((*extent, 0)).1 += times;
        }
    }

    /// Computes the result, also after an interruption.
    pub(super) fn finish(
        mut self,
        pool: &Pool,
        candidates: &Candidates,
        ended: Result<()>,
    ) -> Shared {
        match ended {
            Ok(()) => {}
            Err(_) if interrupt::requested().is_some() => self.done.stopped = true,
            Err(e) => self.done.failures.push(e),
        }
        match self.freed(pool, candidates) {
            Ok(freed) => self.done.gained = freed.saturating_sub(self.rewritten),
            // The sharing itself is done.
            Err(e) => self
                .done
                .failures
                .push(e.context("measuring the freed space")),
        }
        self.done.failures.extend(self.busy.iter().map(|node| {
            let what =
                format!("{node} is being changed by another netbe; not all of it was compared");
            Failure::locked(what).into()
        }));
        self.done
    }

    /// Returns the bytes on disk that were freed, or would be.
    fn freed(&self, pool: &Pool, candidates: &Candidates) -> Result<u64> {
        if self.dry_run {
            return Ok(candidates.would_free(&self.dropped));
        }
        // Space is freed when the transaction commits.
        subvolume::sync(pool.root())?;
        let at = || pool.root().display().to_string();
        let top = opener::directory(pool.root()).with_context(at)?;
        extents::freed_bytes(&top, self.dropped.values().map(|(extent, _)| extent)).with_context(at)
    }
}

/// Returns whether an error of one file will occur for all.
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
