//! When two subvolumes parted: the transaction at which both were one, by the snapshots they come from.
//!
//! Goes by the kernel's own identities, never by names; only what a merge brought from one to the other is in a record. Not for
//! what each changed since.

use std::collections::HashMap;

use anyhow::Result;

use crate::btrfs::compare::{OfFirst, Point};
use crate::btrfs::subvolume::{self, Info, Uuid};
use crate::pool::{Environment, Pool};

/// The kernel's information about the pool's subvolumes, read when needed.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pool: &'a Pool,
    all: Option<HashMap<Uuid, Half>>,
}

/// A half of an environment.
#[derive(Debug)]
struct Half {
    info: Info,
    /// What it comes from by its record, the nearest first, with the transactions of the snapshots.
    line: Vec<(Uuid, u64)>,
}

/// How two subvolumes parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parting {
    /// The point at which both were one.
    pub(super) point: Point,
    /// The subvolume they were.
    pub(super) ancestor: Uuid,
    /// The snapshot of it, on the way to one of them, by which they parted first.
    pub(super) snapshot: Uuid,
}

impl<'a> Known<'a> {
    /// Knows nothing yet.
    pub(super) fn new(pool: &'a Pool) -> Self {
        Self { pool, all: None }
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
    /// As there.
    pub(super) fn parting(&mut self, one: Info, other: Info) -> Result<Option<Parting>> {
        // The usual pairs, without reading of any other.
        for (child, parent) in [(one, other), (other, one)] {
            if child.parent_uuid == Some(parent.uuid) {
                return Ok(Some(Parting {
                    point: point_of(child),
                    ancestor: parent.uuid,
                    snapshot: child.uuid,
                }));
            }
        }
        let (first, second) = (one, other);
        let (one, other) = (self.line(one)?, self.line(other)?);
        // With the transactions at which each was snapshotted.
        let found = one.iter().enumerate().find_map(|(at, (uuid, until))| {
            let also_at = other.iter().position(|(u, _)| u == uuid)?;
            let also = other[also_at].1;
            let (line, at) = match *until <= also {
                true => (&one, at),
                false => (&other, also_at),
            };
            // What comes from it is before it in its line.
            Some((*uuid, line[at.saturating_sub(1)].0, also.min(*until)))
        });
        let Some((ancestor, snapshot, transaction)) = found else {
            return Ok(None);
        };
        let of_it = [first, second].into_iter().find(|i| i.uuid == snapshot);
        let of_it = of_it.or(self.all()?.get(&snapshot).map(|half| half.info));
        Ok(Some(Parting {
            point: Point {
                transaction,
                at: of_it.map(|info| info.created),
            },
            ancestor,
            snapshot,
        }))
    }

    /// Returns the ancestors of a subvolume, itself first, with the transactions of the snapshots.
    ///
    /// Those that do not exist any more are known by the record of the last one that does.
    fn line(&mut self, info: Info) -> Result<Vec<(Uuid, u64)>> {
        let mut line = vec![(info.uuid, u64::MAX)];
        let mut at = Some(info);
        let mut until = u64::MAX;
        while let Some(info) = at {
            let Some(parent) = info.parent_uuid else {
                break;
            };
            // A sound filesystem has no cycle.
            if line.iter().any(|(uuid, _)| *uuid == parent) {
                break;
            }
            until = until.min(info.made);
            line.push((parent, until));
            let all = self.all()?;
            at = all.get(&parent).map(|half| half.info);
            if at.is_none() {
                let recorded = all.get(&info.uuid).map_or(&[][..], |half| &half.line);
                let beyond = recorded.iter().skip_while(|(uuid, _)| *uuid != parent);
                line.extend(beyond.skip(1).map(|(uuid, made)| (*uuid, until.min(*made))));
            }
        }
        Ok(line)
    }

    fn all(&mut self) -> Result<&HashMap<Uuid, Half>> {
        if self.all.is_none() {
            let mut all = HashMap::new();
            for node in self.pool.nodes()? {
                for env in node.environments().unwrap_or_default() {
                    for (path, in_boot) in [(env.root(), false), (env.boot(), true)] {
                        // One that is damaged, or deleted meanwhile, only makes the comparison longer.
                        let Ok(info) = subvolume::info(&path) else {
                            continue;
                        };
                        let line = line_of(&env, in_boot);
                        all.insert(info.uuid, Half { info, line });
                    }
                }
            }
            self.all = Some(all);
        }
        Ok(self.all.get_or_insert_with(HashMap::new))
    }
}

/// Returns what a half of an environment comes from by its record.
fn line_of(env: &Environment, in_boot: bool) -> Vec<(Uuid, u64)> {
    let snapshots = env.record.iter().flat_map(|record| &record.snapshots);
    let halves = snapshots.map(|both| if in_boot { &both.boot } else { &both.root });
    halves
        .filter_map(|(uuid, made)| Some((uuid.parse().ok()?, *made)))
        .collect()
}

/// Returns what counts as changed by the first of two environments after a merge of it into the second, or into what the
/// second comes from; `None` if there was none.
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
