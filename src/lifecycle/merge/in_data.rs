//! Merging into the node's data what FROM wrote in its own tree at the paths of the data.
//!
//! A node goes on writing in the old place until it mounts its data, at its next boot. Here the data is TO: a file that only
//! FROM changed since the data was copied from it becomes FROM's version; a file that the data changed too stays, and
//! FROM's version is put beside it. Each file is one step, since the node may be working with the data: the next merge
//! continues an interrupted one. Not for files that the environment had there before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apply;
use super::find::{Found, Half, listed};
use crate::btrfs::compare::{self, OfFirst, Point};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::graft::Graft;
use crate::fs::rooted::Tree;
use crate::lifecycle::left_behind::places::is_passing;
use crate::lifecycle::unread::refuse_unread;
use crate::merge::decide::{self, Changed, Conflicts, Side, is_asked_for};
use crate::pool::data::{ChangePoint, Data, DataPath, DataRecord};
use crate::pool::{Environment, Node, NodeLock, data_store};

/// The search in one environment.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) node: &'a Node,
    pub(super) from: &'a Environment,
    /// Its root half, or a copy of that.
    pub(super) root: &'a Path,
    /// What is asked for: absolute paths, as the node sees them; all if empty.
    pub(super) paths: &'a [PathBuf],
    /// Which side conflicts are taken from.
    pub(super) conflicts: Conflicts,
}

/// Refuses to merge an environment into itself where it has nothing for the node's data.
///
/// # Errors
/// A usage error.
pub(super) fn require(node: &Node, env: &Environment) -> Result<()> {
    let search = Search {
        node,
        from: env,
        root: &env.root(),
        paths: &[],
        conflicts: Conflicts::default(),
    };
    match search.used()?.is_empty() {
        true => Err(Failure::usage(format!("{env} twice")).into()),
        false => Ok(()),
    }
}

impl Search<'_> {
    /// Returns the paths of the data that FROM used as its own.
    pub(super) fn used(&self) -> Result<Vec<(&Data, OfFirst)>> {
        let info = subvolume::info(&self.from.root())?;
        let uuid = self.from.uuid().unwrap_or_default();
        let used = self.node.record.data.paths.iter().filter_map(|data| {
            let (transaction, at) = data.lacks_after(uuid, &info)?;
            let filled = data.filled.map(point);
            // In an environment that is not the data's source, a missing file was not removed, and may belong in the data.
            let is_source = data.from.as_deref() == Some(uuid);
            let never = Point {
                transaction: 0,
                at: None,
            };
            let of_first = OfFirst {
                after: Point { transaction, at },
                parted: Some(filled.filter(|_| is_source).unwrap_or(never)),
                second_alone: None,
                is_bounded: false,
            };
            Some((data, of_first))
        });
        Ok(used.collect())
    }

    /// Finds the changes.
    pub(super) fn find(&self) -> Result<Found> {
        let mut found = Found::default();
        let tree = Tree::open(self.root)?;
        for (data, of_first) in self.used()? {
            // If the place is no directory any more, there is nothing to compare with the data.
            if data_store::obstacle(&tree, &data.path)?.is_some() {
                continue;
            }
            let subvolume = data_store::subvolume_of(self.node, &data.path);
            let below = Path::new(data.path.relative());
            let compared = compare::below(self.root, below, &subvolume, of_first)
                .with_context(|| format!("comparing {} with the data", data.path))?;
            refuse_unread(&compared.unread)
                .with_context(|| format!("comparing {} with the data", data.path))?;
            let mut half = Half::default();
            let place = Path::new(data.path.as_str());
            for change in compared.changes {
                let shown = place.join(&change.path);
                if !is_asked_for(&shown, self.paths) {
                    continue;
                }
                let relative = below.join(&change.path);
                let changed = Changed {
                    path: &relative,
                    in_boot: false,
                    in_both: compared.of_both.contains(&change.path),
                    is_identity: false,
                    is_passing: is_passing(&relative),
                    owned: None,
                };
                match decide::side(changed, self.conflicts) {
                    Side::To | Side::Packages => {}
                    Side::From => {
                        half.take(&change);
                        if !changed.is_passing {
                            found.taken.push(listed(false, shown, change));
                        }
                    }
                    Side::Conflict => {
                        let conflict = half.conflict(self.from, self.conflicts, shown, &change);
                        found.conflicts.push(conflict);
                    }
                }
            }
            let unread = compared.unread.keys().map(|path| place.join(path));
            found.unread.extend(unread);
            found.in_data.push((data.path.clone(), half));
        }
        Ok(found)
    }

    /// Merges the changes into the data, durably, and records that in the node's record; returns notes.
    ///
    /// Reads the data again: the node may have changed it while packages were installed. `until` is the transaction of the
    /// copy that is searched; the node was read under the lock.
    pub(super) fn bring(
        &self,
        until: ChangePoint,
        lock: &NodeLock,
    ) -> Result<(Found, Option<String>)> {
        let node = self.node;
        subvolume::sync(&node.dir)?;
        let mut found = self.find()?;
        let mut record = node.record.clone();
        let mut without_flags = Vec::new();
        for (path, half) in std::mem::take(&mut found.in_data) {
            let subvolume = data_store::subvolume_of(node, &path);
            let place = Path::new(path.as_str());
            let putting = || format!("merging {path} of {} into the data", self.from);
            let is_untouched = match node.record.data.get(&path).and_then(|data| data.filled) {
                Some(filled) => compare::is_as_at(&subvolume, point(filled))
                    .with_context(|| format!("looking at {}", subvolume.display()))?,
                None => false,
            };
            if !half.is_empty() {
                let below = Path::new(path.relative());
                let (blocked, lost) = Graft::new(self.root, below, &subvolume)
                    .and_then(|graft| apply::put(&half, graft, self.from, self.conflicts, place))
                    .with_context(putting)?;
                found.blocked(blocked);
                without_flags.extend(lost);
                subvolume::sync(&subvolume)?;
            }
            // After a merge of some paths only, the others are still to be merged.
            if self.paths.is_empty() {
                let filled = data_store::filled(node, &path)?;
                let filled = is_untouched.then_some(filled);
                self.note(&mut record.data, &path, until, filled);
            }
        }
        if record.data != node.record.data {
            node.store(lock, &record)?;
        }
        Ok((found, apply::lost_flags(&without_flags)))
    }

    fn note(
        &self,
        record: &mut DataRecord,
        path: &DataPath,
        until: ChangePoint,
        filled: Option<ChangePoint>,
    ) {
        for data in record.paths.iter_mut().filter(|data| data.path == *path) {
            data.note_merged(self.from.uuid().unwrap_or_default(), until);
            // The node has not written in it: netbe is still the only writer.
            data.filled = filled.or(data.filled);
        }
    }
}

fn point(until: ChangePoint) -> Point {
    Point {
        transaction: until.transaction,
        at: Some(until.at),
    }
}
