//! Finds files that may be equal and do not share their extents.
//!
//! From the trees of the environments; no file is read. A file that is the same in a thousand snapshots takes the memory
//! of one entry and a thousand numbers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::super::Mode;
use super::super::import::unpack::Progress;
use super::node_locks::{Entered, Turns};
use super::nodes_of;
use super::place::Place;
use crate::btrfs::extents::{self, StoredFile};
use crate::btrfs::subvolume;
use crate::btrfs::tree_search::items::DiskExtent;
use crate::fs::path_error::if_exists;
use crate::fs::{interrupt, opener};
use crate::pool::{Environment, NodeName, Pool};

/// Files of one path and size.
#[derive(Debug)]
pub(super) struct Group {
    /// Their size, in bytes.
    pub size: u64,
    /// Versions with different extents, the one to keep first.
    pub versions: Vec<Version>,
}

/// Files of one path with the same extents and inode number: snapshots of one file.
#[derive(Debug)]
pub(super) struct Version {
    /// A hash of their extents.
    pub mark: u64,
    /// Their inode number.
    pub inode: u64,
    /// The indexes of their halves.
    pub halves: Vec<u32>,
    /// Their size on disk, in bytes.
    disk: u64,
}

/// Candidates for sharing.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The environments.
    pub envs: Vec<Environment>,
    /// Their halves.
    pub places: Vec<Place>,
    /// The files.
    pub groups: Vec<Group>,
    /// A directory of the same filesystem.
    pub beside: PathBuf,
    /// Nodes that could not be read, because they are being changed.
    pub busy: BTreeSet<NodeName>,
    /// The number of references to each extent; only in a dry run.
    references: HashMap<u64, u32>,
}

/// By path, half and size.
type Found = HashMap<(u64, bool, u64), Vec<Version>>;

/// Returns the environments of these nodes, and their ancestors; without a node all.
pub(super) fn environments(pool: &Pool, nodes: &[NodeName]) -> Result<Vec<Environment>> {
    let mut all = Vec::new();
    for node in pool.nodes()? {
        all.extend(node.environments()?);
    }
    all.retain(|env| env.whole);
    if nodes.is_empty() {
        return Ok(all);
    }
    for node in nodes {
        pool.node(node)?;
    }
    let mut wanted: HashSet<String> = HashSet::new();
    let mut waiting: Vec<&Environment> = all.iter().filter(|e| nodes.contains(&e.node)).collect();
    while let Some(env) = waiting.pop() {
        if !wanted.insert(env.to_string()) {
            continue;
        }
        let origin = env.record.as_ref().and_then(|r| r.origin.as_ref());
        waiting.extend(
            origin
                .into_iter()
                .flat_map(|o| all.iter().filter(|e| e.uuid() == Some(&o.uuid))),
        );
    }
    all.retain(|env| wanted.contains(&env.to_string()));
    Ok(all)
}

impl Candidates {
    /// Reads the trees.
    pub(super) fn find(
        pool: &Pool,
        envs: Vec<Environment>,
        turns: &mut Turns<'_>,
        progress: &mut dyn Progress,
        mode: Mode,
    ) -> Result<Self> {
        let mut found = Found::new();
        let mut candidates = Self {
            beside: pool.root().to_path_buf(),
            ..Self::default()
        };
        let until = Instant::now() + mode.wait;
        for (number, env) in envs.iter().enumerate() {
            interrupt::check()?;
            progress.phase(&format!("Reading {env} ({} of {})", number + 1, envs.len()));
            match turns.enter_until(&nodes_of(std::iter::once(env)), until)? {
                Entered::Yes => candidates.look_at(number, env, &mut found, mode)?,
                Entered::Busy(node) => {
                    candidates.busy.insert(node);
                }
            }
        }
        if mode.dry_run {
            candidates.count_others(pool, &envs)?;
        }
        candidates.envs = envs;
        candidates.groups = groups(found);
        Ok(candidates)
    }

    fn look_at(
        &mut self,
        number: usize,
        env: &Environment,
        found: &mut Found,
        mode: Mode,
    ) -> Result<()> {
        for (path, boot) in [(env.root(), false), (env.boot(), true)] {
            let half = u32::try_from(self.places.len()).context("too many environments")?;
            let Some(files) = files_of(&path).with_context(|| format!("reading {env}"))? else {
                continue;
            };
            for file in files {
                if mode.dry_run {
                    self.count(&file);
                }
                note(found, &file, half, boot);
            }
            self.places.push(Place { env: number, path });
        }
        Ok(())
    }

    /// Counts the references of the other environments: extents that these share are not freed.
    fn count_others(&mut self, pool: &Pool, envs: &[Environment]) -> Result<()> {
        let taken: BTreeSet<&PathBuf> = envs.iter().map(|e| &e.dir).collect();
        for env in environments(pool, &[])? {
            interrupt::check()?;
            if taken.contains(&env.dir) {
                continue;
            }
            for path in [env.root(), env.boot()] {
                let files = files_of(&path).with_context(|| format!("reading {env}"))?;
                files.iter().flatten().for_each(|file| self.count(file));
            }
        }
        Ok(())
    }

    fn count(&mut self, file: &StoredFile) {
        for extent in &file.references {
            *self.references.entry(*extent).or_default() += 1;
        }
    }

    /// Returns the environment of a half.
    pub(super) fn env(&self, place: &Place) -> &Environment {
        &self.envs[place.env]
    }

    /// Returns the nodes with files of a group.
    pub(super) fn nodes(&self, group: &Group) -> BTreeSet<NodeName> {
        let halves = group.versions.iter().flat_map(|v| &v.halves);
        nodes_of(halves.map(|half| self.env(&self.places[*half as usize])))
    }

    /// Returns the bytes on disk that would be freed by dropping these numbers of references.
    pub(super) fn would_free(&self, dropped: &HashMap<u64, (DiskExtent, u32)>) -> u64 {
        dropped
            .values()
            .filter(|(extent, times)| {
                self.references
                    .get(&extent.start)
                    .is_none_or(|all| all <= times)
            })
            .map(|(extent, _)| extent.disk_length)
            .sum()
    }
}

/// Returns the files of a half; `None` if it was deleted meanwhile.
fn files_of(path: &Path) -> Result<Option<Vec<StoredFile>>> {
    // A directory made by hand is not a subvolume: the tree would be that of its parent.
    let opened = subvolume::is_subvolume(path).and_then(|is| match is {
        true => opener::directory(path).map(Some),
        false => Ok(None),
    });
    let opened = if_exists(opened).with_context(|| format!("opening {}", path.display()))?;
    let files = opened.flatten().map(|top| extents::files(&top));
    Ok(files.transpose()?)
}

fn note(found: &mut Found, file: &StoredFile, half: u32, boot: bool) {
    for path in &file.paths {
        let versions = found.entry((*path, boot, file.size)).or_default();
        let same = |v: &&mut Version| v.mark == file.mark && v.inode == file.inode;
        match versions.iter_mut().find(same) {
            Some(version) => version.halves.push(half),
            None => versions.push(Version {
                mark: file.mark,
                inode: file.inode,
                halves: vec![half],
                disk: file.disk,
            }),
        }
    }
}

/// Returns the groups of more than one version, in the order of the first versions on disk.
fn groups(found: Found) -> Vec<Group> {
    let mut groups: Vec<Group> = found
        .into_iter()
        .filter(|(_, versions)| versions.iter().any(|v| v.mark != versions[0].mark))
        .map(|((_, _, size), mut versions)| {
            // The smallest on disk is kept, such as a compressed one; of equals the one with the most files.
            versions.sort_by_key(|v| {
                (
                    v.disk,
                    std::cmp::Reverse(v.halves.len()),
                    v.halves[0],
                    v.inode,
                )
            });
            Group { size, versions }
        })
        .collect();
    groups.sort_by_key(|g| {
        let first = &g.versions[0];
        (first.halves[0], first.inode)
    });
    groups
}

impl Group {
    /// Returns the number of bytes to compare if all are equal.
    pub(super) fn bytes(&self) -> u64 {
        self.size * (self.versions.len() as u64 - 1)
    }
}
