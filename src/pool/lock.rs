//! Who may change what, now: one lock a node, one an environment, one for what all nodes share; two more for who
//! downloads, and who shares files anew.
//!
//! A lock is `flock(2)` on a file under `locks` of the state directory, where no node and no user of the server reaches it,
//! so the kernel releases it when its holder dies, however it dies. What is written under a lock is written through it:
//! it knows what it protects. A node's lock is held while its records and links are changed, never while somebody else's
//! program runs; for that there is the lock of the one environment that it runs in, or is made of. Locks are taken in one
//! order, nodes by name, then an environment at once or not at all, then the pool; the one for downloads is given back
//! before the pool's. Reading takes none.

mod flock;
mod watch;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::layout;
use super::name::{EnvName, NodeName};
use crate::fs::dir_names::names_in;
use crate::fs::opener;
use flock::{acquire, held, is_marked, refuse_marked};

pub(super) use flock::{has_mark, mark};
pub use watch::Watch;

/// Proof that nobody else changes what the nodes share: names, exports, the pool's properties.
#[derive(Debug)]
pub struct PoolLock {
    state: PathBuf,
    _file: File,
}

/// Proof that nobody else changes one node or its environments; the node need not exist yet.
#[derive(Debug)]
pub struct NodeLock {
    node: NodeName,
    share: Share,
    _file: File,
}

/// Whether others may hold the same lock beside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nobody else: for changing.
    Alone,
    /// Others who only need it to stay: for making something from it.
    Together,
}

/// Proof that nobody else downloads packages that all nodes may want; nothing else is guarded by it.
#[derive(Debug)]
pub struct DownloadLock {
    _file: File,
}

impl DownloadLock {
    /// Takes the lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        let file = acquire(state, "PACKAGES", "the package cache", Share::Alone, wait)?;
        Ok(Self { _file: file })
    }
}

/// Proof that nobody else shares files anew; nothing else is guarded by it.
///
/// Two at once could each let go of what the other one took up, and gain nothing.
#[derive(Debug)]
pub struct DedupeLock {
    _file: File,
}

impl DedupeLock {
    /// Takes the lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        let file = acquire(state, "DEDUPE", "what files share", Share::Alone, wait)?;
        Ok(Self { _file: file })
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

    /// Fails where it is another pool's.
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
    pub(super) fn take(
        state: &Path,
        node: &NodeName,
        share: Share,
        wait: Duration,
    ) -> Result<Self> {
        let file = acquire(state, node.as_str(), node.as_str(), share, wait)?;
        Ok(Self {
            node: node.clone(),
            share,
            _file: file,
        })
    }

    /// Takes a node's lock beside others, at once or not at all, without leaving a trace: for a dry run that has files open.
    ///
    /// `None` where nobody has ever taken it, or who looks may not: then nobody is kept out.
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

    /// Takes the lock of the node that is changed and of the one something is made from.
    pub(super) fn take_both(
        state: &Path,
        changed: &NodeName,
        source: &NodeName,
        wait: Duration,
    ) -> Result<(Self, Option<Self>)> {
        if changed == source {
            return Ok((Self::take(state, changed, Share::Alone, wait)?, None));
        }
        if changed < source {
            let first = Self::take(state, changed, Share::Alone, wait)?;
            Ok((
                first,
                Some(Self::take(state, source, Share::Together, wait)?),
            ))
        } else {
            let first = Self::take(state, source, Share::Together, wait)?;
            Ok((Self::take(state, changed, Share::Alone, wait)?, Some(first)))
        }
    }

    /// Returns the node this is the lock of.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Fails where it is another node's, or is shared with others.
    pub fn ensure_protects(&self, node: &NodeName) -> Result<()> {
        ensure!(
            &self.node == node && self.share == Share::Alone,
            "the lock of {} does not protect {node}",
            self.node
        );
        Ok(())
    }
}

/// Proof that nobody else works in one environment, or makes one of its name; its node may be changed meanwhile.
#[derive(Debug)]
pub struct EnvLock {
    path: PathBuf,
    _file: File,
}

impl EnvLock {
    /// Takes the lock, at once or not at all: the lock of its node is held, and others wait for that.
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
    /// Takes the file away: there are as many names as there were environments. Who waits for it looks again.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the file of an environment's lock: no name has a comma.
fn env_file(node: &NodeName, env: &EnvName) -> String {
    format!("{node},{env}")
}

/// Refuses where somebody works in an environment, or makes one of that name, and waits up to `wait` for the end of it;
/// without taking anything.
///
/// # Errors
/// `Locked`, naming the holder.
pub fn refuse_work(state: &Path, node: &NodeName, env: &EnvName, wait: Duration) -> Result<()> {
    let path = layout::locks(state).join(env_file(node, env));
    refuse_marked(&path, &format!("{node}/{env}"), wait)
}

/// Refuses where somebody works in any environment of a node, as of one.
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

/// Returns whether somebody holds a node's lock now; false where it cannot be told.
pub fn is_held(state: &Path, node: &NodeName) -> bool {
    is_marked(&layout::locks(state).join(node.as_str()))
}
