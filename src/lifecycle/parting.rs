//! When two subvolumes parted: the transaction at which both were one, by the snapshots they come from.
//!
//! Compares the kernel's own UUIDs, never names; only a merge from one to the other is known from a record. Not for what
//! each changed since.

use std::collections::HashMap;

use anyhow::Result;
use jiff::Timestamp;

use crate::btrfs::compare::{OfFirst, Point};
use crate::btrfs::space::by_uuid;
use crate::btrfs::subvolume::{self, Info, Uuid};
use crate::fs::opener;
use crate::fs::path_error::at_path;
use crate::pool::{Environment, Pool};

/// The kernel's information about the pool's subvolumes, read when needed.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pool: &'a Pool,
    /// The subvolumes that were looked up by their UUID.
    some: HashMap<Uuid, Option<Snapshot>>,
    all: Option<HashMap<Uuid, Half>>,
}

/// A subvolume, with its parent and the transaction that made it.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    uuid: Uuid,
    parent: Option<Uuid>,
    made: u64,
    created: Timestamp,
}

impl From<Info> for Snapshot {
    fn from(info: Info) -> Self {
        Self {
            uuid: info.uuid,
            parent: info.parent_uuid,
            made: info.made,
            created: info.created,
        }
    }
}

/// A half of an environment.
#[derive(Debug)]
struct Half {
    snapshot: Snapshot,
    /// Its ancestors by its record, the nearest first, with the transactions of the snapshots.
    line: Vec<(Uuid, u64)>,
}

/// How two subvolumes parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parting {
    /// The point at which both were one.
    pub(super) point: Point,
    /// The common ancestor.
    pub(super) ancestor: Uuid,
    /// The earliest snapshot of the ancestor that only one of the two comes from.
    pub(super) snapshot: Uuid,
}

impl<'a> Known<'a> {
    /// Returns an empty cache.
    pub(super) fn new(pool: &'a Pool) -> Self {
        Self {
            pool,
            some: HashMap::new(),
            all: None,
        }
    }

    /// Returns the transaction at which two subvolumes parted, of the nearest common ancestor; `None` if they have none.
    ///
    /// # Errors
    /// If the pool's nodes cannot be read.
    pub(super) fn parted(&mut self, one: Info, other: Info) -> Result<Option<Point>> {
        Ok(self.parting(one, other)?.map(|parting| parting.point))
    }

    /// As [`Self::parted`], with the snapshot by which they parted.
    ///
    /// # Errors
    /// Those of [`Self::parted`].
    pub(super) fn parting(&mut self, one: Info, other: Info) -> Result<Option<Parting>> {
        // The usual pairs are decided without reading any other subvolume.
        for (child, parent) in [(one, other), (other, one)] {
            if child.parent_uuid == Some(parent.uuid) {
                return Ok(Some(Parting {
                    point: point_of(child),
                    ancestor: parent.uuid,
                    snapshot: child.uuid,
                }));
            }
        }
        let (first, second) = (Snapshot::from(one), Snapshot::from(other));
        let (mut one, mut other) = (self.line(first)?, self.line(second)?);
        let mut found = nearest(&one, &other);
        if found.is_none() {
            // Ancestors that only records know are further away than all that exist.
            self.extend(&mut one)?;
            self.extend(&mut other)?;
            found = nearest(&one, &other);
        }
        let Some((ancestor, snapshot, transaction)) = found else {
            return Ok(None);
        };
        let of_it = match [first, second].into_iter().find(|i| i.uuid == snapshot) {
            None => self.find(snapshot)?,
            known => known,
        };
        Ok(Some(Parting {
            point: Point {
                transaction,
                at: of_it.map(|snapshot| snapshot.created),
            },
            ancestor,
            snapshot,
        }))
    }

    /// Returns a subvolume and its ancestors as far as they exist, with the transactions of the snapshots; the last one may
    /// not exist any more.
    fn line(&mut self, of: Snapshot) -> Result<Vec<(Uuid, u64)>> {
        let mut line = vec![(of.uuid, u64::MAX)];
        let mut at = Some(of);
        let mut until = u64::MAX;
        while let Some((parent, made)) = at.and_then(|at| Some((at.parent?, at.made))) {
            // A sound filesystem has no cycle.
            if line.iter().any(|(uuid, _)| *uuid == parent) {
                break;
            }
            until = until.min(made);
            line.push((parent, until));
            at = self.find(parent)?;
        }
        Ok(line)
    }

    /// Adds the ancestors that do not exist any more, by the record of the nearest environment that knows them.
    fn extend(&mut self, line: &mut Vec<(Uuid, u64)>) -> Result<()> {
        let Some((last, until)) = line.last().copied() else {
            return Ok(());
        };
        let all = self.all()?;
        let mut recorded = line.iter().rev().filter_map(|(uuid, _)| all.get(uuid));
        if let Some(half) = recorded.find(|half| half.line.iter().any(|(uuid, _)| *uuid == last)) {
            let beyond = half.line.iter().skip_while(|(uuid, _)| *uuid != last);
            let beyond = beyond.skip(1).map(|(uuid, made)| (*uuid, until.min(*made)));
            line.extend(beyond);
        }
        Ok(())
    }

    /// Returns a subvolume; `None` if it does not exist any more.
    fn find(&mut self, uuid: Uuid) -> Result<Option<Snapshot>> {
        if let Some(known) = self.some.get(&uuid) {
            return Ok(*known);
        }
        let root = self.pool.root();
        let top = opener::directory(root).map_err(|e| at_path(&e, root))?;
        let found = match by_uuid(&top, uuid) {
            Ok(found) => found.map(|found| Snapshot {
                uuid,
                parent: found.parent,
                made: found.made,
                created: found.created,
            }),
            // Without the privilege, or the UUID tree: the subvolumes of environments can be read by their paths.
            Err(_) => self.all()?.get(&uuid).map(|half| half.snapshot),
        };
        self.some.insert(uuid, found);
        Ok(found)
    }

    fn all(&mut self) -> Result<&HashMap<Uuid, Half>> {
        if self.all.is_none() {
            let mut all = HashMap::new();
            for node in self.pool.nodes()? {
                for env in node.environments().unwrap_or_default() {
                    for (path, in_boot) in [(env.root(), false), (env.boot(), true)] {
                        // Leaving out one that is damaged, or deleted meanwhile, only makes the comparison longer.
                        let Ok(info) = subvolume::info(&path) else {
                            continue;
                        };
                        let line = line_of(&env, in_boot);
                        let snapshot = Snapshot::from(info);
                        all.insert(info.uuid, Half { snapshot, line });
                    }
                }
            }
            self.all = Some(all);
        }
        Ok(self.all.get_or_insert_with(HashMap::new))
    }
}

/// Returns the nearest common ancestor of two lines, the earliest snapshot by which they parted, and its transaction.
fn nearest(one: &[(Uuid, u64)], other: &[(Uuid, u64)]) -> Option<(Uuid, Uuid, u64)> {
    one.iter().enumerate().find_map(|(at, (uuid, until))| {
        let also_at = other.iter().position(|(u, _)| u == uuid)?;
        let also = other[also_at].1;
        let (line, at) = match *until <= also {
            true => (one, at),
            false => (other, also_at),
        };
        // The snapshot that was made from the ancestor is before it in its line.
        Some((*uuid, line[at.saturating_sub(1)].0, also.min(*until)))
    })
}

/// Returns the ancestors of a half of an environment by its record.
fn line_of(env: &Environment, in_boot: bool) -> Vec<(Uuid, u64)> {
    let snapshots = env.record.iter().flat_map(|record| &record.snapshots);
    let halves = snapshots.map(|both| if in_boot { &both.boot } else { &both.root });
    halves
        .filter_map(|(uuid, made)| Some((uuid.parse().ok()?, *made)))
        .collect()
}

/// Returns which changes of the first environment count after it was merged into the second, or into an ancestor of the
/// second; `None` if there was no such merge.
pub(super) fn since_merge(
    first: &Environment,
    second: &Environment,
    parted: Option<Point>,
) -> Option<OfFirst> {
    let uuid = first.uuid()?;
    let all = &second.record.as_ref()?.merged;
    let merged = all.iter().find(|merged| merged.uuid == uuid)?;
    Some(OfFirst {
        after: Point {
            transaction: merged.until,
            at: Some(merged.until_at),
        },
        parted: Some(Point {
            transaction: merged.complete,
            at: Some(merged.complete_at),
        }),
        second_alone: parted.map(|parted| (parted.transaction, merged.begun)),
        is_bounded: false,
    })
}

/// Returns the point at which a subvolume was made.
pub(super) fn point_of(info: Info) -> Point {
    Point {
        transaction: info.made,
        at: Some(info.created),
    }
}
