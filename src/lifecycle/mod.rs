//! The rules: what may be done to nodes and environments, and how each thing is done.
//!
//! Every verb goes one way: observe, refuse or plan, apply. Observing and planning touch nothing, so a dry
//! run is the plan, printed (`plan::Plan`). Not for arguments, nor for how an answer looks.

pub mod activate;
mod activate_new;
mod addresses;
pub mod adopt;
pub mod behind_template;
pub mod check;
pub mod create;
pub mod data;
pub mod dedupe;
pub mod deploy;
pub mod describe;
pub mod destroy;
pub mod diff;
pub mod export;
pub mod fleet;
pub mod full_disk;
pub mod import;
pub mod in_use;
pub mod init;
pub mod kept_bases;
pub mod left_behind;
mod lent;
pub mod list;
pub mod local;
pub mod local_hooks;
mod machines_that_run;
pub mod merge;
pub mod mount;
mod network_names;
pub mod on_card;
pub mod on_disk;
pub mod origin_tree;
mod parting;
mod pending;
mod plan;
pub mod properties;
mod protection;
pub mod prune;
pub mod reconcile;
pub mod rename;
pub mod run;
pub mod space;
pub mod status;
pub mod trial;
mod unread;
pub mod upgrade;

use std::time::Duration;

use anyhow::Result;

use crate::pool::lock::Share;
use crate::pool::{EnvName, NodeLock, NodeName, Pool, PoolLock};
use crate::staged::{Complete, StagedEnvironment};

/// How long a command that has worked for long waits for a lock.
const AFTERWARDS: Duration = Duration::from_secs(3600);

/// The mode of a command.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Refuse and plan only; change nothing.
    pub dry_run: bool,
    /// How long to wait for a lock.
    pub wait: Duration,
}

impl Mode {
    /// Returns that of the dry run of a command.
    #[must_use]
    pub fn dry(self) -> Self {
        Self {
            dry_run: true,
            ..self
        }
    }

    /// Takes the exclusive lock of a node, for a command that changes it; none in a dry run.
    ///
    /// # Errors
    /// `Locked`, naming the holder. Also if the pool is read-only, in a dry run too.
    pub fn lock(self, pool: &Pool, node: &NodeName) -> Result<Option<NodeLock>> {
        self.locks(pool, || self.lock_to_change(pool, node))
    }

    /// Takes locks of a pool; none in a dry run, which refuses the same pools.
    ///
    /// # Errors
    /// If the pool is read-only; as of `take`.
    pub fn locks<C>(self, pool: &Pool, take: impl FnOnce() -> Result<C>) -> Result<Option<C>> {
        pool.refuse_read_only()?;
        self.unless_dry(take)
    }

    /// Returns what the steps of a plan work with; nothing in a dry run.
    ///
    /// # Errors
    /// As of `make`.
    pub fn unless_dry<C>(self, make: impl FnOnce() -> Result<C>) -> Result<Option<C>> {
        (!self.dry_run).then(make).transpose()
    }

    /// Takes the exclusive lock of a node for a change of an environment whose own lock must be free; none in a dry
    /// run, which refuses the same.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock_idle(
        self,
        pool: &Pool,
        node: &NodeName,
        env: &EnvName,
    ) -> Result<Option<NodeLock>> {
        // Without the node's lock, which the command that works in the environment needs in order to end.
        pool.refuse_work(node, env, self.patience())?;
        let lock = self.lock(pool, node)?;
        pool.refuse_work(node, env, Duration::ZERO)?;
        Ok(lock)
    }

    /// Returns how long to wait for another command's work: a dry run refuses at once.
    pub fn patience(self) -> Duration {
        match self.dry_run {
            true => Duration::ZERO,
            false => self.wait,
        }
    }

    /// Takes the lock of a node again after a program has run in an environment. Waits an hour at least: the program's result
    /// must not be lost, and no command holds the lock for long.
    ///
    /// # Errors
    /// When netbe is interrupted.
    pub fn lock_again(self, pool: &Pool, node: &NodeName) -> Result<NodeLock> {
        pool.lock_node(node, Share::Alone, self.wait.max(AFTERWARDS))
    }

    /// Takes the lock of a node again for an environment that was completed without it, since programs had to run; completes
    /// it again, without the lock too, as long as properties were changed meanwhile.
    ///
    /// # Errors
    /// Those of [`Self::lock_again`] and [`StagedEnvironment::complete`].
    fn lock_completed(
        self,
        pool: &Pool,
        staged: &mut StagedEnvironment,
        mut complete: Complete,
    ) -> Result<(NodeLock, Complete)> {
        loop {
            let lock = self.lock_again(pool, staged.node())?;
            staged.look_again(&lock)?;
            if staged.is_current(&complete)? {
                return Ok((lock, complete));
            }
            drop(lock);
            complete = staged.complete_again(complete)?;
        }
    }

    /// Takes the exclusive lock of a node.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock_to_change(self, pool: &Pool, node: &NodeName) -> Result<NodeLock> {
        pool.lock_node(node, Share::Alone, self.wait)
    }
}

/// The locks and warnings of a command that changes which environment a node boots.
#[derive(Debug)]
pub struct Held<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The node's lock.
    pub lock: &'a NodeLock,
    /// The pool's lock.
    pub shared: PoolLock,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

impl<'a> Held<'a> {
    /// Takes the pool's lock beside the node's.
    fn take(pool: &'a Pool, lock: &'a NodeLock, mode: Mode) -> Result<Self> {
        Ok(Self {
            pool,
            lock,
            shared: pool.lock(mode.wait)?,
            warnings: Vec::new(),
        })
    }

    /// Takes the pool's lock if the node's is taken; none in a dry run.
    fn beside(pool: &'a Pool, lock: Option<&'a NodeLock>, mode: Mode) -> Result<Option<Self>> {
        lock.map(|lock| Self::take(pool, lock, mode)).transpose()
    }
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A dry run: the steps, one line each.
    Planned(Vec<String>),
    /// It was done.
    Done(T),
}

impl<T> Outcome<T> {
    /// Converts the result.
    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Planned(steps) => Outcome::Planned(steps),
            Self::Done(done) => Outcome::Done(convert(done)),
        }
    }

    /// Returns the outcome of this and what followed it: the steps of both, or this result.
    fn followed_by(self, more: Outcome<()>) -> Self {
        match (self, more) {
            (Self::Planned(mut steps), Outcome::Planned(more)) => {
                steps.extend(more);
                Self::Planned(steps)
            }
            (outcome, _) => outcome,
        }
    }
}
