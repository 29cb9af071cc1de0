//! The base of an environment: read-only snapshots of both halves, as of its last export or import.
//!
//! An incremental stream needs identical content on both servers, and environments change. So the snapshots are kept in
//! the environment's directory under a hidden name: the base is renamed and destroyed with its environment, is made and
//! removed by one rename, and without it the next stream is a full one. Not for choosing a base.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lock::NodeLock;
use super::{Environment, NodeName, Pool, layout, record};
use crate::btrfs::subvolume;
use crate::fs::path_error::is_system_error;
use crate::fs::{atomic, opener};

/// The record of a base, in its directory.
const RECORD: &str = "base.json";

/// `base.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Format version.
    version: u64,
    /// The identity, the same in every pool that has this base.
    id: String,
    /// The transaction of each half when the base was made: a later one means that the half was changed.
    changed: [u64; 2],
    /// Fields of a newer netbe.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// A base that was read and is unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The identity, the same in every pool that has this base.
    pub id: String,
    dir: PathBuf,
}

impl Base {
    /// Returns the base of an environment; `None` if it has none.
    ///
    /// # Errors
    /// When it cannot be used: it is incomplete, or was changed by hand.
    pub fn read(env: &Environment) -> Result<Option<Self>> {
        Self::in_dir(&env.dir.join(layout::BASE))
    }

    fn in_dir(dir: &Path) -> Result<Option<Self>> {
        let Some(record) = read(dir)? else {
            return Ok(None);
        };
        let base = Self {
            id: record.id,
            dir: dir.to_path_buf(),
        };
        for (half, changed) in [base.root(), base.boot()].iter().zip(record.changed) {
            let is_there = subvolume::is_subvolume(half)
                .with_context(|| format!("looking at {}", half.display()))?;
            ensure!(is_there, "{} does not exist", half.display());
            let info = subvolume::info(half)?;
            ensure!(
                info.read_only && info.changed == changed,
                "{} was changed",
                half.display()
            );
        }
        Ok(Some(base))
    }

    /// Finds the environment of a node by the identity of its base; `None` also if the node does not exist.
    ///
    /// Only in one node: an import gets all content of the base, so a stream must not select the base of another node
    /// by its identity.
    ///
    /// # Errors
    /// When the base cannot be used, or one that could be it cannot be read.
    pub fn find(pool: &Pool, node: &NodeName, id: &str) -> Result<Option<(Environment, Self)>> {
        let mut unusable = None;
        let nodes = pool.nodes()?;
        let Some(node) = nodes.iter().find(|found| found.name == *node) else {
            return Ok(None);
        };
        for env in note(node.environments(), &mut unusable).unwrap_or_default() {
            let dir = env.dir.join(layout::BASE);
            match note(read(&dir), &mut unusable).flatten() {
                Some(record) if record.id == id => {}
                _ => continue,
            }
            let why = || format!("the base of {env} cannot be used");
            match Self::read(&env).with_context(why) {
                Ok(Some(base)) => return Ok(Some((env, base))),
                Ok(None) => {}
                Err(e) => drop(unusable.get_or_insert(e)),
            }
        }
        unusable.map_or(Ok(None), Err)
    }

    /// Returns a random identity for a new base; that of a subvolume could be guessed or read.
    pub fn new_id() -> Result<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(std::io::Error::from)
            .context("making an identity")?;
        // Version 4 of RFC 9562: random.
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(subvolume::Uuid(bytes).to_string())
    }

    /// Makes the directory of a base, which only root can access.
    pub fn make_directory(path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    /// Writes the record of the two halves, which must not change any more, in a stage's directory.
    pub fn record(dir: &Path, id: &str) -> Result<()> {
        let changed = |half: &str| subvolume::info(&dir.join(half)).map(|i| i.changed);
        let record = Record {
            version: record::VERSION,
            id: id.to_string(),
            changed: [changed(layout::ROOT)?, changed(layout::BOOT)?],
            other: BTreeMap::new(),
        };
        let path = dir.join(RECORD);
        record::write_before_sync(&path, &record)?;
        // A user who knows the identity could import the content.
        let only_root = Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, only_root)
            .with_context(|| format!("closing '{}'", path.display()))
    }

    /// Copies the base to a new directory by snapshots.
    pub fn copy(&self, to: &Path) -> Result<()> {
        Self::make_directory(to)?;
        subvolume::snapshot_read_only(&self.root(), &to.join(layout::ROOT))?;
        subvolume::snapshot_read_only(&self.boot(), &to.join(layout::BOOT))?;
        Self::record(to, &self.id)
    }

    /// Returns the root half.
    pub fn root(&self) -> PathBuf {
        self.dir.join(layout::ROOT)
    }

    /// Returns the boot half.
    pub fn boot(&self) -> PathBuf {
        self.dir.join(layout::BOOT)
    }

    /// Returns whether its environment is unchanged since the base was made.
    pub fn is_current(&self, env: &Environment) -> Result<bool> {
        // Dirty data has no transaction yet: without a sync, a half with it would seem unchanged.
        subvolume::sync(&env.dir)?;
        for (half, base) in [(env.root(), self.root()), (env.boot(), self.boot())] {
            let (half_info, base) = (subvolume::info(&half)?, subvolume::info(&base)?);
            // A write to a nested subvolume does not change the transaction of the half.
            if base.parent_uuid != Some(half_info.uuid)
                || half_info.changed > base.made
                || !subvolume::nested(&half)?.is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Exchanges a directory of a stage with the base of an environment, in one durable step; the stage gets the old base.
pub fn keep(lock: &NodeLock, dir: &Path, env: &Environment) -> Result<()> {
    lock.ensure_protects(&env.node)?;
    // The snapshots are durable; the record has to be before the exchange.
    let record =
        opener::file(&dir.join(RECORD))?.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
    record.sync_all()?;
    let place = env.dir.join(layout::BASE);
    let rename = |flags| renameat2(AT_FDCWD, dir, AT_FDCWD, &place, flags);
    match rename(RenameFlags::RENAME_EXCHANGE) {
        Err(nix::Error::ENOENT) => rename(RenameFlags::RENAME_NOREPLACE),
        exchanged => exchanged,
    }
    .map_err(io::Error::from)?;
    Ok(atomic::directory(&env.dir)?)
}

/// Returns the result; an error is put into `unread`.
fn note<T>(found: Result<T>, unread: &mut Option<anyhow::Error>) -> Option<T> {
    let is_unread = |e: &anyhow::Error| {
        let mut causes = e.chain().filter_map(|cause| cause.downcast_ref());
        causes.any(is_system_error)
    };
    match found {
        Ok(found) => return Some(found),
        Err(e) if is_unread(&e) => drop(unread.get_or_insert(e)),
        Err(_) => {}
    }
    None
}

fn read(dir: &Path) -> Result<Option<Record>> {
    let Some(text) = record::read(&dir.join(RECORD))? else {
        return Ok(None);
    };
    let record: Record = serde_json::from_str(&text)?;
    ensure!(
        record.version <= record::VERSION,
        "it has format {}, of a newer netbe",
        record.version
    );
    Ok(Some(record))
}
