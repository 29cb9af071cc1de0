//! Destroyed environments that a merge still needs: those that the systems of nodes were made from.
//!
//! Each is a hidden directory of the pool, named by its UUID: no TFTP name leads to it, no machine boots it, and no list
//! shows it. Not for deciding which are needed.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::lock::{NodeLock, PoolLock};
use super::{Environment, Pool, layout, stage};
use crate::fs::atomic;
use crate::fs::dir_names::names_in;

/// Returns the directory of a kept environment, by its UUID.
pub fn find(pool: &Pool, uuid: &str) -> Option<PathBuf> {
    let dir = place(pool, uuid)?;
    let is_whole = [layout::ROOT, layout::BOOT]
        .iter()
        .all(|half| dir.join(half).symlink_metadata().is_ok_and(|m| m.is_dir()));
    is_whole.then_some(dir)
}

/// Returns the UUIDs of all kept environments.
pub fn all(pool: &Pool) -> io::Result<Vec<String>> {
    let mut names = names_in(&layout::kept_bases(pool.root()))?;
    names.retain(|name| is_uuid(name));
    Ok(names)
}

/// Moves an environment out of its node, by one rename, and keeps it; durable when it returns.
pub fn keep(pool: &Pool, lock: &NodeLock, env: &Environment) -> Result<()> {
    lock.ensure_protects(&env.node)?;
    let keeping = || format!("keeping {env}, which a merge needs");
    let to = env.uuid().and_then(|uuid| place(pool, uuid));
    let to = to
        .context("it has no UUID of its own")
        .with_context(keeping)?;
    let dir = layout::kept_bases(pool.root());
    atomic::directories(&dir).with_context(keeping)?;
    std::fs::rename(&env.dir, &to).with_context(keeping)?;
    let envs = env.dir.parent().unwrap_or(Path::new("/"));
    for dir in [pool.root(), &dir, envs] {
        atomic::directory(dir).with_context(keeping)?;
    }
    Ok(())
}

/// Deletes a kept environment.
pub fn forget(pool: &Pool, lock: &PoolLock, uuid: &str) -> Result<()> {
    lock.ensure_protects(pool.state())?;
    match place(pool, uuid) {
        Some(dir) => stage::discard(&dir, &layout::kept_bases(pool.root())),
        None => Ok(()),
    }
}

fn place(pool: &Pool, uuid: &str) -> Option<PathBuf> {
    is_uuid(uuid).then(|| layout::kept_bases(pool.root()).join(uuid))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-')
}
