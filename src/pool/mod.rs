//! The pool on disk: layout, names, nodes, environments, properties, locks, stages.
//!
//! The state is what is on disk. Reading takes no lock, changes nothing and accepts any content; changing takes a lock
//! as an argument. Records that root trusts are in the state directory. Not for what is published, nor for the rules of
//! the commands.

pub mod base;
pub mod code;
pub mod data;
pub mod data_store;
pub mod deployed;
mod env_id;
pub mod environment;
pub mod foreign;
mod identify;
pub mod kept_bases;
pub mod layout;
pub mod local;
pub mod lock;
mod lookup;
pub mod name;
mod new_node;
pub mod node;
pub mod origin_texts;
pub mod pattern;
pub mod pending;
pub mod properties;
pub mod record;
mod record_file;
mod similar;
pub mod stage;
pub mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::statvfs::FsFlags;

use crate::fs::dir_names::names_in;
use similar::did_you_mean;

pub use env_id::EnvId;
pub use environment::Environment;
pub(crate) use identify::{claimed, known};
pub use lock::{EnvLock, NodeLock, PoolLock};
pub use name::{EnvName, NodeName, Operand};
pub use new_node::publish_node;
pub use node::Node;
pub use record::{EnvRecord, NodeRecord, Origin, PoolRecord};

use crate::failure::Failure;
use crate::fs::path_error::at_path;
use code::Key;
use identify::not_taken_over;
use lock::Share;
use state::Place;

/// An opened pool: it exists, on btrfs, in a format that this netbe reads.
#[derive(Debug, Clone)]
pub struct Pool {
    root: PathBuf,
    state: PathBuf,
    key: Key,
    record: PoolRecord,
}

impl Pool {
    /// Opens the pool at `root`, whose state directory is one of those in `states`.
    ///
    /// Which one is determined by the pool's place, not by its content.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; a refusal if this server has not taken it over; else an ordinary failure: it is
    /// not on btrfs, its records cannot be read, or a newer netbe made it.
    pub fn open(root: &Path, states: &Path) -> Result<Self> {
        let Some((root, state)) = known(root, states)? else {
            let (root, claimed) = claimed(root)?;
            return Err(not_taken_over(&root, &layout::state(states, &claimed.uuid)));
        };
        let file = state.join(layout::POOL_RECORD);
        let text = record::read(&file)?.with_context(|| {
            format!(
                "{} does not exist: restore it from a backup",
                file.display()
            )
        })?;
        let record =
            PoolRecord::parse(&text).with_context(|| format!("reading {}", file.display()))?;
        let key = state::key(&state).map_err(|e| match state::has_key(&state) {
            true => e,
            false => identify::without_key(&root, &state),
        })?;
        Ok(Self {
            root,
            state,
            key,
            record,
        })
    }

    /// Opens every pool that this server has taken over and whose filesystem is mounted, with its directory.
    pub fn all(states: &Path) -> Result<Vec<(PathBuf, Result<Self>)>> {
        let is_there = |of: &Place| {
            let now = Place::locate(&of.dir);
            now.is_ok_and(|now| now.is_same(of))
        };
        let known = state::all(states).with_context(|| format!("reading {}", states.display()))?;
        let there = known.into_iter().filter(|(_, of)| is_there(of));
        Ok(there
            .map(|(_, of)| (of.dir.clone(), Self::open(&of.dir, states)))
            .collect())
    }

    /// Opens the pool on the disk that this machine boots from, if there is one, with its directory.
    pub fn of_this_machine() -> Option<(PathBuf, Result<Self>)> {
        let dir = PathBuf::from(local::DIR);
        local::is_there().then(|| (dir.clone(), Self::open(&dir, &local::states())))
    }

    /// Opens it again, since its record may have changed.
    ///
    /// # Errors
    /// Those of [`Pool::open`].
    pub fn again(&self) -> Result<Self> {
        Self::open(&self.root, self.states())
    }

    /// Returns the pool as it would be with another record.
    pub fn with_record(&self, record: &PoolRecord) -> Self {
        Self {
            record: record.clone(),
            ..self.clone()
        }
    }

    /// Returns the pool's state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the directory of the state directories of all pools.
    pub fn states(&self) -> &Path {
        self.state.parent().unwrap_or(&self.state)
    }

    /// Returns the key of the environments' records.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Takes the pool's lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder. Also if the pool is read-only: what is published must not differ from it.
    pub fn lock(&self, wait: Duration) -> Result<PoolLock> {
        self.refuse_read_only()?;
        PoolLock::take(&self.state, wait)
    }

    /// Takes a node's lock, waiting up to `wait`; the node need not exist yet.
    ///
    /// # Errors
    /// Those of [`Pool::lock`].
    pub fn lock_node(&self, node: &NodeName, share: Share, wait: Duration) -> Result<NodeLock> {
        self.refuse_read_only()?;
        NodeLock::take(&self.state, node, share, wait)
    }

    /// Takes the lock of an environment, or of its name, for programs that run in it; without waiting, while the lock
    /// of its node is held.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn lock_env(&self, lock: &NodeLock, env: &EnvName) -> Result<EnvLock> {
        EnvLock::take(&self.state, lock.node(), env)
    }

    /// Refuses while an environment's lock is held, after waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn refuse_work(&self, node: &NodeName, env: &EnvName, wait: Duration) -> Result<()> {
        lock::refuse_work(&self.state, node, env, wait)
    }

    /// Refuses while the lock of any environment of a node is held, after waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn refuse_work_in(&self, node: &NodeName, wait: Duration) -> Result<()> {
        lock::refuse_work_in(&self.state, node, wait)
    }

    /// Takes a node's lock as a shared one, without waiting and without making a file.
    ///
    /// # Errors
    /// Those of [`Pool::lock`].
    pub fn lock_node_unnoticed(&self, node: &NodeName) -> Result<Option<NodeLock>> {
        self.refuse_read_only()?;
        NodeLock::take_unnoticed(&self.state, node)
    }

    /// Takes the locks of the node that is changed and of the source's node.
    ///
    /// # Errors
    /// Those of [`Pool::lock`].
    pub fn lock_both(
        &self,
        changed: &NodeName,
        source: &NodeName,
        wait: Duration,
    ) -> Result<(NodeLock, Option<NodeLock>)> {
        self.refuse_read_only()?;
        NodeLock::take_both(&self.state, changed, source, wait)
    }

    /// Fails if the pool is read-only.
    pub fn refuse_read_only(&self) -> Result<()> {
        let found = nix::sys::statvfs::statvfs(&self.root).map_err(io::Error::from);
        let found = found.with_context(|| format!("looking at {}", self.root.display()))?;
        if found.flags().contains(FsFlags::ST_RDONLY) {
            return Err(
                at_path(&io::Error::from_raw_os_error(nix::libc::EROFS), &self.root).into(),
            );
        }
        Ok(())
    }

    /// Writes the pool's record, durably, and the copy for a takeover.
    pub fn store(&self, lock: &PoolLock, record: &PoolRecord) -> Result<()> {
        lock.ensure_protects(&self.state)?;
        record::write(&self.state.join(layout::POOL_RECORD), record)?;
        let copy = record.without_secrets();
        // No netbe trusts it; `check` reports an old one.
        let _ = record::write_before_sync(&layout::pool_record(&self.root), &copy);
        Ok(())
    }

    /// Fails where a guard is another pool's; without one nothing is written.
    pub fn ensure_protected(&self, lock: Option<&PoolLock>) -> Result<()> {
        lock.map_or(Ok(()), |lock| lock.ensure_protects(&self.state))
    }

    /// Returns the pool's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the pool's own record.
    pub fn record(&self) -> &PoolRecord {
        &self.record
    }

    /// Returns where on this machine's own disk it is; `None` of a pool for machines of the network.
    pub fn local(&self) -> Option<&record::Local> {
        self.record.local.as_ref()
    }

    /// Returns where on this machine's own disk an environment is.
    pub fn own_root(&self, node: &NodeName, env: &EnvName) -> Option<crate::boot::OwnRoot> {
        let local = self.local()?;
        let dir = layout::env(Path::new(&local.path), node, env);
        let half = |name: &str| dir.join(name).to_string_lossy().into_owned();
        Some(crate::boot::OwnRoot {
            filesystem: local.filesystem.clone(),
            root: half(layout::ROOT),
            boot: half(layout::BOOT),
        })
    }

    /// Returns the names in the directory of nodes, sorted; not all need be nodes.
    pub fn node_names(&self) -> Result<Vec<NodeName>> {
        let dir = layout::nodes(&self.root);
        let names = names_in(&dir)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Returns a node by name.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; also if the system fails to read its record, which may be as it should be.
    pub fn node(&self, name: &NodeName) -> Result<Node> {
        let node = Node::observe(self, name).ok_or_else(|| self.no_node(name))?;
        anyhow::ensure!(!node.unread_record, "{name}: {}", node.problems.join("; "));
        Ok(node)
    }

    /// Returns the `NotFound` failure for a node of that name.
    pub fn no_node(&self, name: &NodeName) -> anyhow::Error {
        match node::not_a_directory(self, name) {
            Some(why) => {
                Failure::not_found(format!("{name} is not a node: {why}")).hint("netbe check")
            }
            None => {
                let names = self.node_names().unwrap_or_default();
                let meant = did_you_mean(name.as_str(), names.iter().map(NodeName::as_str));
                let pool = self.root.display();
                Failure::not_found(format!("no node {name} in {pool}{meant}")).hint("netbe list")
            }
        }
        .into()
    }

    /// Returns an environment by node and name.
    ///
    /// # Errors
    /// `NotFound` when the node or the environment does not exist.
    pub fn environment(&self, node: &NodeName, name: &EnvName) -> Result<Environment> {
        self.node(node)?.environment(name)
    }

    /// Returns the environment of an operand; a node alone means its active environment.
    pub fn resolve(&self, operand: &Operand) -> Result<Environment> {
        let node = self.node(&operand.node)?;
        match &operand.env {
            Some(name) => node.environment(name),
            None => node.active_environment(),
        }
    }
}
