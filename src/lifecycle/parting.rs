//! When two subvolumes parted: the transaction at which both were one, by the snapshots they come from.
//!
//! Goes by the kernel's own identities, never by names or records. Not for what each changed since.

use std::collections::HashMap;

use anyhow::Result;

use crate::btrfs::subvolume::{self, Info, Uuid};
use crate::pool::Pool;

/// The kernel's information about the pool's subvolumes, read when needed.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pool: &'a Pool,
    all: Option<HashMap<Uuid, Info>>,
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
    pub(super) fn parted(&mut self, one: Info, other: Info) -> Result<Option<u64>> {
        // The usual pairs, without reading of any other.
        for (child, parent) in [(one, other), (other, one)] {
            if child.parent_uuid == Some(parent.uuid) {
                return Ok(Some(child.made));
            }
        }
        let (one, other) = (self.line(one)?, self.line(other)?);
        // With the transactions at which each was snapshotted.
        Ok(one.iter().find_map(|(uuid, until)| {
            let (_, also) = other.iter().find(|(u, _)| u == uuid)?;
            Some(*until.min(also))
        }))
    }

    /// Returns the ancestors of a subvolume, itself first, with the transactions of the snapshots.
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
            at = self.all()?.get(&parent).copied();
        }
        Ok(line)
    }

    fn all(&mut self) -> Result<&HashMap<Uuid, Info>> {
        if self.all.is_none() {
            let mut all = HashMap::new();
            for node in self.pool.nodes()? {
                for env in node.environments().unwrap_or_default() {
                    // One that is damaged, or deleted meanwhile, only makes the comparison longer.
                    for info in [env.root(), env.boot()]
                        .iter()
                        .flat_map(|half| subvolume::info(half))
                    {
                        all.insert(info.uuid, info);
                    }
                }
            }
            self.all = Some(all);
        }
        Ok(self.all.get_or_insert_with(HashMap::new))
    }
}
