//! The rules: what may be done to nodes and environments, and how each thing is done.
//!
//! Every verb goes one way: observe, refuse or plan, apply. Observing and planning touch nothing, so a dry
//! run is the plan, printed. Not for arguments, nor for how an answer looks.

pub mod activate;
mod activate_new;
pub mod check;
pub mod create;
pub mod dedupe;
pub mod describe;
pub mod destroy;
pub mod diff;
pub mod export;
pub mod import;
pub mod in_use;
pub mod init;
mod lent;
pub mod list;
pub mod mount;
mod network_names;
pub mod origin_tree;
mod parallel;
mod pending;
pub mod properties;
pub mod prune;
pub mod reconcile;
pub mod rename;
pub mod run;
pub mod space;
pub mod staged;
pub mod status;
pub mod trial;
pub mod upgrade;

use std::time::Duration;

use anyhow::Result;

use crate::pool::lock::Share;
use crate::pool::{EnvName, NodeLock, NodeName, Pool};

/// How long a lock is waited for by what has been at work for longer.
const AFTERWARDS: Duration = Duration::from_secs(3600);

/// How a command is to go about its work.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Refuse and plan only; change nothing.
    pub dry_run: bool,
    /// How long to wait for a lock.
    pub wait: Duration,
}

impl Mode {
    /// Takes the lock of a node alone, for a command that changes it; none in a dry run.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock(self, pool: &Pool, node: &NodeName) -> Result<Option<NodeLock>> {
        match self.dry_run {
            true => Ok(None),
            false => self.lock_to_change(pool, node).map(Some),
        }
    }

    /// Takes the lock of a node alone, for a command that changes one of its environments, in which nobody works then; none
    /// in a dry run, which refuses the same.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock_idle(
        self,
        pool: &Pool,
        node: &NodeName,
        env: &EnvName,
    ) -> Result<Option<NodeLock>> {
        let wait = match self.dry_run {
            true => Duration::ZERO,
            false => self.wait,
        };
        // Without the node's lock: who works in it needs that to end.
        pool.refuse_work(node, env, wait)?;
        let lock = self.lock(pool, node)?;
        pool.refuse_work(node, env, Duration::ZERO)?;
        Ok(lock)
    }

    /// Takes the lock of a node again after somebody else's program has run, however long that takes: what it did must not
    /// be lost, and nobody holds the lock for long.
    ///
    /// # Errors
    /// When netbe is asked to stop.
    pub fn lock_again(self, pool: &Pool, node: &NodeName) -> Result<NodeLock> {
        pool.lock_node(node, Share::Alone, self.wait.max(AFTERWARDS))
    }

    /// Takes the lock of a node alone.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock_to_change(self, pool: &Pool, node: &NodeName) -> Result<NodeLock> {
        pool.lock_node(node, Share::Alone, self.wait)
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A dry run: what would be done, one line a step.
    Planned(Vec<String>),
    /// It was done.
    Done(T),
}
