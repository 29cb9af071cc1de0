//! The locks: one for each node, one for each environment, one for what all nodes share; one for downloads, one for
//! deduplication, one for cards.
//!
//! A lock is `flock(2)` on a file under `locks` of the state directory, which only root can reach; the kernel releases
//! it when the holder dies. Functions that write take the lock as an argument and check what it protects. A node's lock
//! is held while its records and links are changed, never while an environment's program runs: then the lock of that
//! one environment is held. The same holds for programs that read or make disk images, save for `rename`, trials,
//! `set --existing` and `check --repair`, which change an image that exists. Lock order: cards, then nodes by name, then an
//! environment without waiting, then the pool; the lock for downloads is released before the pool's is taken. Reading
//! takes no lock.
//!
//! Not here: the lock on `boots.jsonl` while a line is added to it (`evidence/boots.rs`), and the lock on the disk that
//! `deploy` writes, which its script has (`lifecycle/deploy/disk.sh`), on the device itself as udev has it.

mod flock;
mod watch;

use std::cmp::Ordering;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::layout;
use super::name::{EnvName, NodeName};
use crate::fs::dir_names::names_in;
use crate::fs::opener;
use flock::{acquire, held, is_marked, refuse_marked};

pub(super) use flock::{has_mark, mark};
pub use watch::Watch;

/// The lock on what all nodes share: names, exports, the pool's properties.
#[derive(Debug)]
pub struct PoolLock {
    state: PathBuf,
    _file: File,
}

/// The lock on one node and its environments; the node need not exist yet.
#[derive(Debug)]
pub struct NodeLock {
    node: NodeName,
    share: Share,
    _file: File,
}

/// Whether the lock is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Exclusive: for a change.
    Alone,
    /// Shared: for a source that must not change.
    Together,
}

/// A lock on work that one netbe does at a time, for all nodes; it protects no record.
#[derive(Debug)]
pub struct WorkLock {
    _file: File,
}

impl WorkLock {
    /// Takes the lock on downloads into the package cache.
    pub fn to_download(state: &Path, wait: Duration) -> Result<Self> {
        Self::take(state, "PACKAGES", "the package cache", wait)
    }

    /// Takes the lock on deduplication: two at once could each replace the extents that the other shares, and free nothing.
    pub fn to_share(state: &Path, wait: Duration) -> Result<Self> {
        Self::take(state, "DEDUPE", "the extents of the pool", wait)
    }

    /// Takes the lock on writing cards, and on their records: writing takes minutes, and no other lock is held then. Taken
    /// before the lock of a node.
    pub fn to_write_cards(state: &Path, wait: Duration) -> Result<Self> {
        Self::take(state, "CARDS", "a card", wait)
    }

    /// Takes one, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    fn take(state: &Path, name: &str, what: &str, wait: Duration) -> Result<Self> {
        let _file = acquire(state, name, what, Share::Alone, wait)?;
        Ok(Self { _file })
    }
}

impl PoolLock {
    /// Takes the pool's lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        // Upper case: no node has this name.
        let file = acquire(state, "POOL", "the pool", Share::Alone, wait)?;
        Ok(Self {
            state: state.to_path_buf(),
            _file: file,
        })
    }

    /// Fails if it is the lock of another pool.
    pub fn ensure_protects(&self, state: &Path) -> Result<()> {
        ensure!(
            self.state == state,
            "the lock of {} does not protect {}",
            self.state.display(),
            state.display()
        );
        Ok(())
    }
}

impl NodeLock {
    /// Takes a node's lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, node: &NodeName, share: Share, wait: Duration) -> Result<Self> {
        let file = acquire(state, node.as_str(), node.as_str(), share, wait)?;
        Ok(Self {
            node: node.clone(),
            share,
            _file: file,
        })
    }

    /// Takes a node's lock as a shared one, without waiting and without making a file: for a dry run that has files
    /// open.
    ///
    /// `None` if the lock file does not exist, or cannot be opened by this user: then nothing is locked.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub(super) fn take_unnoticed(state: &Path, node: &NodeName) -> Result<Option<Self>> {
        let Ok(Some(mut file)) = opener::file(&layout::locks(state).join(node.as_str())) else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                Err(held(&mut file, node.as_str(), Duration::ZERO).into())
            }
            _ => Ok(Some(Self {
                node: node.clone(),
                share: Share::Together,
                _file: file,
            })),
        }
    }

    /// Takes the locks of the node that is changed and of the source's node.
    pub(super) fn take_both(
        state: &Path,
        changed: &NodeName,
        source: &NodeName,
        wait: Duration,
    ) -> Result<(Self, Option<Self>)> {
        let own = || Self::take(state, changed, Share::Alone, wait);
        let other = || Self::take(state, source, Share::Together, wait).map(Some);
        match changed.cmp(source) {
            Ordering::Equal => Ok((own()?, None)),
            Ordering::Less => Ok((own()?, other()?)),
            Ordering::Greater => {
                let other = other()?;
                Ok((own()?, other))
            }
        }
    }

    /// Returns the node that it protects.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Fails if it protects another node, or is shared.
    pub fn ensure_protects(&self, node: &NodeName) -> Result<()> {
        ensure!(
            &self.node == node && self.share == Share::Alone,
            "the lock of {} does not protect {node}",
            self.node
        );
        Ok(())
    }
}

impl NodeLock {
    /// Fails if it does not protect the node with this directory, on the pool or in the state directory.
    pub(super) fn ensure_protects_dir(&self, node: &Path) -> Result<()> {
        let name = node.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| name.parse().ok());
        let name: NodeName =
            name.with_context(|| format!("{} is not of a node", node.display()))?;
        self.ensure_protects(&name)
    }
}

/// The lock on one environment, or its name: for programs that run in it. Its node may be changed meanwhile.
#[derive(Debug)]
pub struct EnvLock {
    path: PathBuf,
    _file: File,
}

impl EnvLock {
    /// Takes the lock without waiting, since others wait for the node's lock, which is held.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub(super) fn take(state: &Path, node: &NodeName, env: &EnvName) -> Result<Self> {
        let name = env_file(node, env);
        let what = format!("{node}/{env}");
        let file = acquire(state, &name, &what, Share::Alone, Duration::ZERO)?;
        Ok(Self {
            path: layout::locks(state).join(name),
            _file: file,
        })
    }
}

impl Drop for EnvLock {
    /// Removes the file, else there would be one for each environment that ever existed. A waiting process opens the
    /// path again.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the lock file of an environment; the comma cannot occur in a name.
fn env_file(node: &NodeName, env: &EnvName) -> String {
    format!("{node},{env}")
}

/// Refuses while an environment's lock is held, after waiting up to `wait`; takes no lock.
///
/// # Errors
/// `Locked`, naming the holder.
pub fn refuse_work(state: &Path, node: &NodeName, env: &EnvName, wait: Duration) -> Result<()> {
    let path = layout::locks(state).join(env_file(node, env));
    refuse_marked(&path, &format!("{node}/{env}"), wait)
}

/// Refuses while the lock of any environment of a node is held, likewise.
///
/// # Errors
/// `Locked`, naming the holder.
pub fn refuse_work_in(state: &Path, node: &NodeName, wait: Duration) -> Result<()> {
    let locks = layout::locks(state);
    for name in names_in(&locks)? {
        if let Some((of, env)) = name.split_once(',')
            && of == node.as_str()
        {
            refuse_marked(&locks.join(&name), &format!("{node}/{env}"), wait)?;
        }
    }
    Ok(())
}

/// Returns whether a node's lock is held now; false if that cannot be determined.
pub fn is_held(state: &Path, node: &NodeName) -> bool {
    is_marked(&layout::locks(state).join(node.as_str()))
}
