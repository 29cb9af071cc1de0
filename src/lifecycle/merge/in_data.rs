//! What FROM wrote where the node's data is now: it goes into the data.
//!
//! A node goes on writing in the old place until it mounts its data, at its next boot. The data stands in for TO here: what
//! only FROM changed since the data was taken from it is as FROM has it, and of what the data has otherwise since then,
//! FROM's is put beside it. File by file, since the node may work with the rest: one that is cut is gone on with by the
//! next. Not for what an environment has under its data since before.

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
use crate::merge::decide::{self, Changed, Conflicts, Side, is_asked_for};
use crate::pool::data::{ChangePoint, Data, DataPath, DataRecord};
use crate::pool::{Environment, Node, NodeLock, data_store};

/// What is looked for.
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
            // What another environment does not have was not removed there, and may be in the data by right.
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

    /// Finds it.
    pub(super) fn find(&self) -> Result<Found> {
        let mut found = Found::default();
        let tree = Tree::open(self.root)?;
        for (data, of_first) in self.used()? {
            // A place that is no directory any more says nothing about the data.
            if data_store::obstacle(&tree, &data.path)?.is_some() {
                continue;
            }
            let subvolume = data_store::subvolume_of(self.node, &data.path);
            let below = Path::new(data.path.relative());
            let compared = compare::below(self.root, below, &subvolume, of_first)
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
            let unread = compared.unread.iter().map(|path| place.join(path));
            found.unread.extend(unread);
            found.in_data.push((data.path.clone(), half));
        }
        Ok(found)
    }

    /// Finds it and puts it into the data, durably, and notes in the node's record that it has it; returns notes.
    ///
    /// Looks at the data only now: the node may have worked with it while packages were installed. `until` is the moment of
    /// the copy that is searched; the node was read under the lock.
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
                Some(filled) => compare::is_as_at(&subvolume, point(filled))?,
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
            // Of a part the rest is still to come.
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
            // Nobody else wrote in it: what is in it is still of netbe alone.
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
