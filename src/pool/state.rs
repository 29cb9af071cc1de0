//! What netbe believes of a pool: its state directory, `STATE/POOL-UUID` on the server's own disk.
//!
//! In it are the records of the pool and of its nodes, what is pending and what was seen, the locks, what is published,
//! and the key of the records that stay on the pool. Whoever may mount one export of a pool by kernel NFS can name, and
//! as root write, any file of its filesystem, so nothing that root runs or believes unchecked lies there. A state
//! directory is of one place: a pool that says it is another's is not believed. Not for what the records say.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::code::Key;
use super::{layout, record};
use crate::btrfs::subvolume::identity;
use crate::fs::atomic;
use crate::fs::dir_names::names_in;
use crate::fs::path_error::is_system_error;

/// Where state directories stand where nobody says otherwise.
pub const DEFAULT: &str = "/var/lib/netbe";

/// Where a pool lies, by what no node can change: the filesystem, the subvolume in it, and the directory in that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// UUID of the filesystem.
    pub filesystem: String,
    /// Number of the subvolume in it.
    pub subvolume: u64,
    /// Inode number of the pool's directory.
    pub inode: u64,
    /// The directory when it was last looked at, for people.
    pub dir: PathBuf,
}

impl Place {
    /// Returns where a directory lies.
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
        looked().with_context(|| format!("asking what {} lies on", dir.display()))
    }

    /// Returns whether both are one place, whatever it is called.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.filesystem, self.subvolume, self.inode)
            == (&other.filesystem, other.subvolume, other.inode)
    }

    /// Reads which place a state directory is of; `None` where there is none.
    pub fn read(state: &Path) -> Result<Option<Self>> {
        let file = file(state);
        let Some(text) = record::read(&file)? else {
            return Ok(None);
        };
        let place =
            serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        Ok(Some(place))
    }

    /// Writes it, durably: from then on the state directory is that of the pool there.
    pub fn write(&self, state: &Path) -> Result<()> {
        record::write(&file(state), self)
    }
}

/// Makes a state directory with a key; of no pool yet: that is [`Place::write`], last.
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
    // What an interrupted taking over has signed goes by the one that is there.
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

/// Makes a directory that is root's alone, where there is none.
pub fn private_directory(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making {}", dir.display()))
}

/// Reads the key of a state directory.
pub fn key(state: &Path) -> Result<Key> {
    Key::read(&key_file(state))
}

/// Returns the state directories there are, with the places they are of; one whose place is lost is left out.
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

/// Takes away what a state directory holds of a node, durably; nothing there is no error.
pub fn forget_node(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        gone => gone.with_context(|| format!("removing {}", dir.display()))?,
    }
    Ok(atomic::directory(dir.parent().unwrap_or(dir))?)
}

fn key_file(state: &Path) -> PathBuf {
    state.join("key")
}

fn file(state: &Path) -> PathBuf {
    state.join("place.json")
}
