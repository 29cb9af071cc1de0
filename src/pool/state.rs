//! The state directory of a pool, `STATE/POOL-UUID` on the server's own disk: what netbe trusts.
//!
//! It has the records of the pool and of its nodes, pending boots, boot evidence, locks, the published configuration,
//! and the key of the records on the pool. A client that may mount one export of the pool can address, and as root
//! write, any file of its filesystem, so nothing that root runs or trusts unchecked is there. A state directory belongs
//! to one place of a pool, whatever the pool's own record claims. Not for the content of records.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::code::Key;
use super::lock::NodeLock;
use super::{layout, record};
use crate::btrfs::subvolume::identity;
use crate::fs::atomic;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::{if_exists, is_system_error};

/// The default directory of state directories.
pub const DEFAULT: &str = "/var/lib/netbe";

/// The place of a pool, in terms that no node can change: filesystem, subvolume, and directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// UUID of the filesystem.
    pub filesystem: String,
    /// Number of the subvolume in it.
    pub subvolume: u64,
    /// Inode number of the pool's directory.
    pub inode: u64,
    /// The directory's path when it was last used, for messages.
    pub dir: PathBuf,
}

impl Place {
    /// Returns the place of a directory.
    pub fn locate(dir: &Path) -> Result<Self> {
        let looked = || -> io::Result<Self> {
            let open = File::open(dir)?;
            Ok(Self {
                filesystem: identity::filesystem(dir)?.to_string(),
                subvolume: identity::subvolume_id(&open)?,
                inode: open.metadata()?.ino(),
                dir: dir.to_path_buf(),
            })
        };
        looked().with_context(|| format!("finding the filesystem of {}", dir.display()))
    }

    /// Returns whether both are the same place, at any path.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.filesystem, self.subvolume, self.inode)
            == (&other.filesystem, other.subvolume, other.inode)
    }

    /// Reads the place that a state directory belongs to; `None` if it has none.
    pub fn read(state: &Path) -> Result<Option<Self>> {
        let file = file(state);
        let Some(text) = record::read(&file)? else {
            return Ok(None);
        };
        let place =
            serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        Ok(Some(place))
    }

    /// Writes it, durably: from then on the state directory belongs to the pool there.
    pub fn write(&self, state: &Path) -> Result<()> {
        record::write(&file(state), self)
    }
}

/// Makes a state directory with a key. [`Place::write`] then assigns it to a pool.
pub fn make(state: &Path) -> Result<Key> {
    for dir in [
        state.to_path_buf(),
        layout::node_states(state),
        layout::locks(state),
        layout::publish(state),
    ] {
        private_directory(&dir)?;
    }
    let file = key_file(state);
    // An existing key stays: an interrupted takeover has signed records with it.
    let key = match file.symlink_metadata() {
        Ok(_) => Key::read(&file)?,
        Err(_) => Key::make(&file)?,
    };
    atomic::directory(state)?;
    if let Some(states) = state.parent() {
        atomic::directory(states)?;
    }
    Ok(key)
}

/// Makes a directory that only root can access, if it does not exist.
pub fn private_directory(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making {}", dir.display()))
}

/// Returns whether a state directory has a key, that can be read or not.
pub(super) fn has_key(state: &Path) -> bool {
    let looked = key_file(state).symlink_metadata();
    !looked.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Reads the key of a state directory.
pub fn key(state: &Path) -> Result<Key> {
    Key::read(&key_file(state))
}

/// Returns the state directories with their places; one whose place is lost is omitted.
pub fn all(states: &Path) -> io::Result<Vec<(PathBuf, Place)>> {
    let mut found = Vec::new();
    for name in names_in(states)? {
        let dir = states.join(name);
        match Place::read(&dir) {
            Ok(Some(place)) => found.push((dir, place)),
            Err(e) => match e.downcast::<io::Error>() {
                Ok(e) if is_system_error(&e) => return Err(e),
                _ => {}
            },
            Ok(None) => {}
        }
    }
    Ok(found)
}

/// Removes a node's state, durably; it need not exist.
pub fn forget_node(lock: &NodeLock, dir: &Path) -> Result<()> {
    lock.ensure_protects_dir(dir)?;
    let removed = if_exists(fs::remove_dir_all(dir));
    match removed.with_context(|| format!("removing {}", dir.display()))? {
        None => Ok(()),
        Some(()) => Ok(atomic::directory(dir.parent().unwrap_or(dir))?),
    }
}

fn key_file(state: &Path) -> PathBuf {
    state.join("key")
}

fn file(state: &Path) -> PathBuf {
    state.join("place.json")
}
