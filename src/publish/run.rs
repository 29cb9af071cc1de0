//! One run of publishing: what it is done to, whether it writes, and what it did.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Published;
use crate::fs::atomic::{self, Durable};
use crate::pool::{Node, NodeName, Pool, PoolLock};

/// A run.
#[derive(Debug)]
pub struct Publishing<'a> {
    pub(super) pool: &'a Pool,
    pub(super) writes: bool,
    /// What it did, or would do.
    pub done: Published,
}

impl<'a> Publishing<'a> {
    /// Begins one. Without `lock` nothing is written: the steps are those that would be done.
    ///
    /// # Errors
    /// When the lock is that of another pool.
    pub fn begin(pool: &'a Pool, lock: Option<&'a PoolLock>) -> Result<Self> {
        pool.ensure_protected(lock)?;
        Ok(Self {
            pool,
            writes: lock.is_some(),
            done: Published::default(),
        })
    }

    /// Does a step, if it writes.
    pub(super) fn step(&mut self, step: String, take: impl FnOnce() -> Result<()>) -> Result<()> {
        self.done.steps.push(step);
        if self.writes { take() } else { Ok(()) }
    }

    /// Writes a file durably, in one step.
    pub(super) fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        self.step(format!("write {}", path.display()), || {
            Ok(atomic::file(path, text.as_bytes(), Durable::AtOnce)?)
        })
    }

    /// Writes a file with secrets in it, durably and in one step, and the directory that it is in.
    pub(super) fn write_private(&mut self, path: &Path, text: &str) -> Result<()> {
        self.step(format!("write {}", path.display()), || {
            atomic::directories(path.parent().unwrap_or(path))?;
            Ok(atomic::private(path, text.as_bytes(), Durable::AtOnce)?)
        })
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, path: &Path) -> Result<()> {
        self.step(format!("remove {}", path.display()), || {
            fs::remove_file(path).with_context(|| format!("removing {}", path.display()))
        })
    }

    /// Takes note of a node that stays published as it is: the system failed to read it, or its record is lost, which is no
    /// failure of this run.
    pub(super) fn leave(&mut self, node: &Node, why: &str) {
        let sentence = format!(
            "{}: {why}; its TFTP names, exports and DHCP settings are unchanged",
            node.name
        );
        if !node.lost || node.unread_record {
            self.done.left.push((node.name.clone(), sentence.clone()));
        }
        self.warn(sentence);
    }

    /// Takes note of a TFTP name that the system failed to read: it may lead to any of these nodes.
    pub(super) fn leave_name<'b>(&mut self, nodes: impl Iterator<Item = &'b NodeName>, why: &str) {
        let sentence = format!("{why}: this name stays, and leads where it led");
        let left = nodes.map(|node| (node.clone(), sentence.clone()));
        self.done.left.extend(left);
        self.warn(sentence);
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, warning: String) {
        self.done.warnings.push(warning);
    }
}
