//! Comparing the candidates, and letting those share that hold the same.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::super::import::unpack::Progress;
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

/// How many different contents of one path are kept to compare others with: a machine's own data differs on each, and
/// comparing all with all would take the square of their number.
const CONTENTS: usize = 16;

/// From which size on files are shared that differ in a few blocks, in bytes: the caches of package managers, above all,
/// differ in nothing but a time.
const NEARLY: u64 = 1 << 20;

/// The work in hand.
pub(super) struct Work<'a> {
    pub turns: Turns<'a>,
    pub dry_run: bool,
    pub done: Shared,
    /// Nodes that another netbe changed for longer than was waited.
    pub busy: BTreeSet<NodeName>,
    /// The extents that were let go of, by where they begin; and in a dry run how often they would be.
    pub left: HashMap<u64, (DiskExtent, u32)>,
    /// What was given space of its own again, in bytes.
    pub again: u64,
    pub read: u64,
    /// How much there is to read, in bytes.
    pub total: Option<u64>,
}

/// What a version is the same as.
struct Like<'v> {
    version: &'v Version,
    /// The blocks that differ; none where it is the same.
    but: Vec<Range<u64>>,
}

/// What a file is to share, and all but which blocks.
struct Source<'b> {
    file: Rc<File>,
    lies: Layout,
    but: &'b [Range<u64>],
}

impl Source<'_> {
    /// Returns whether the kernel found it to be the same.
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
            // However little of it had to be read.
            self.read += if kept.is_empty() { 0 } else { group.size };
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
                self.done.failures.push(e);
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
        let (mut nearly, mut read) = (None, 0);
        for like in kept {
            let Some((place, that)) = self.open_any(candidates, group, like)? else {
                continue;
            };
            let place = &candidates.places[place];
            let other = self.turns.layout(place, like.inode, group.size)?;
            let mut told = |bytes: u64| {
                read += bytes;
                progress.advance(self.read + read.min(group.size), self.total);
            };
            let ranges = lies.differing_ranges(&other, group.size);
            // Only where extents of its own would go; and who has found one like it looks for nothing but the same.
            let limit = match group.size {
                NEARLY.. if nearly.is_none() => lies.exclusive_bytes(&other) / 8,
                _ => 0,
            };
            match same_content::differing(&this, &that, &ranges, limit, &mut told)? {
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
            let apart = lies.unshared_ranges(&source.lies);
            let what = || format!("sharing a file of {}", candidates.env(place));
            let shared = !apart.is_empty()
                && (self.dry_run
                    || source
                        .share(&to, &apart, &candidates.beside)
                        .with_context(what)?);
            if !shared {
                continue;
            }
            self.note(candidates.env(place), &lies, source.but);
            if !source.but.is_empty() {
                // The others of this version hold what this one does, to the last block.
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

    /// Takes note that a file has let go of where it lay, but for these blocks.
    fn note(&mut self, env: &Environment, lay: &Layout, but: &[Range<u64>]) {
        self.again += but.iter().map(|r| r.end - r.start).sum::<u64>();
        *self.done.files.entry(env.to_string()).or_default() += 1;
        for (extent, times) in &lay.extents {
            self.left.entry(extent.start).or_insert((*extent, 0)).1 += times;
        }
    }

    /// Finds out what it came to; also where it was stopped.
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
        match self.gone(pool, candidates) {
            Ok(gone) => self.done.gained = gone.saturating_sub(self.again),
            // What is shared is shared.
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

    /// Returns how many bytes on disk came back, or would.
    fn gone(&self, pool: &Pool, candidates: &Candidates) -> Result<u64> {
        if self.dry_run {
            return Ok(candidates.would_go(&self.left));
        }
        // Space comes back with the transaction.
        subvolume::sync(pool.root())?;
        let at = || pool.root().display().to_string();
        let top = opener::directory(pool.root()).with_context(at)?;
        extents::freed_bytes(&top, self.left.values().map(|(extent, _)| extent)).with_context(at)
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
