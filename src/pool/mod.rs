//! What is on disk: layout, names, nodes, environments, properties, the lock, stages.
//!
//! State is what the disk says. Reading takes no lock, changes nothing and survives garbage; changing
//! takes the proof of a lock as an argument. Not for what the network is offered, nor for the rules of
//! what may be done to an environment.

pub mod base;
pub mod environment;
pub mod layout;
pub mod lock;
mod moment;
pub mod name;
pub mod node;
pub mod package_cache;
pub mod pending;
pub mod properties;
pub mod record;
pub mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use environment::Environment;
pub use lock::{NodeLock, PoolLock};
pub use name::{EnvName, NodeName, Operand};
pub use node::Node;
pub use record::{EnvRecord, NodeRecord, Origin, PoolRecord};

use crate::failure::Failure;
use crate::storage::btrfs;

/// The pool a command works on, opened: it is there, on btrfs, and of a format this netbe knows.
#[derive(Debug, Clone)]
pub struct Pool {
    root: PathBuf,
    record: PoolRecord,
}

impl Pool {
    /// Opens the pool at `root`.
    ///
    /// # Errors
    /// `NotFound` when there is none; an ordinary failure when it is not on btrfs, its `pool.json` cannot
    /// be read, or a newer netbe made it.
    pub fn open(root: &Path) -> Result<Self> {
        let file = layout::pool_record(root);
        let Some(text) = record::read(&file)? else {
            return Err(Failure::not_found(format!("no pool at {}", root.display()))
                .hint(format!(
                    "if its filesystem should be mounted there, mount it; a new pool: netbe init {}",
                    root.display()
                ))
                .into());
        };
        let record =
            PoolRecord::parse(&text).with_context(|| format!("reading {}", file.display()))?;
        // One spelling: exports, command lines and links are compared as text.
        let root = root
            .canonicalize()
            .with_context(|| format!("finding {}", root.display()))?;
        let on_btrfs = btrfs::lies_on_btrfs(&root)
            .with_context(|| format!("finding which filesystem {} is on", root.display()))?;
        if !on_btrfs {
            return Err(Failure::failed(format!(
                "{} holds a pool.json but is not on btrfs",
                root.display()
            ))
            .hint("is the pool's filesystem mounted?")
            .into());
        }
        Ok(Self { root, record })
    }

    /// Returns the pool's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the pool's own record.
    pub fn record(&self) -> &PoolRecord {
        &self.record
    }

    /// Returns the names there are in the place of nodes, sorted; not all need be nodes.
    pub fn node_names(&self) -> Result<Vec<NodeName>> {
        let dir = layout::nodes(&self.root);
        let names = layout::names_in(&dir)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Returns a node by name.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn node(&self, name: &NodeName) -> Result<Node> {
        Node::observe(self, name).ok_or_else(|| self.no_node(name))
    }

    /// Returns what there is to say where there is no node of that name: `NotFound`.
    pub fn no_node(&self, name: &NodeName) -> anyhow::Error {
        match node::stranger(self, name) {
            Some(why) => {
                Failure::not_found(format!("{name} is no node: {why}")).hint("netbe check")
            }
            None => Failure::not_found(format!("no node {name} in {}", self.root.display()))
                .hint("netbe list"),
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

    /// Returns what an operand names; a node alone stands for its active environment.
    pub fn resolve(&self, operand: &Operand) -> Result<Environment> {
        let node = self.node(&operand.node)?;
        match &operand.env {
            Some(name) => node.environment(name),
            None => node.active_environment(),
        }
    }
}
