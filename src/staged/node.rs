//! Publishes a node with several environments at once, by one rename.
//!
//! Not for making one of them: see [`StagedEnvironment`].

use anyhow::Result;

use super::transaction::{
    Bootable, Complete, Home, StagedEnvironment, Target, directory_in, point_to,
};
use crate::fs::atomic;
use crate::pool::record::NodeRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvName, Node, NodeLock, NodeName, Pool, data_store, layout, publish_node};

/// A node that is being made with its environments; deleted when dropped.
#[derive(Debug)]
pub struct StagedNode<'a> {
    pool: &'a Pool,
    node: &'a NodeName,
    record: &'a NodeRecord,
    stage: Staged,
}

impl<'a> StagedNode<'a> {
    /// Begins a node.
    pub fn new(pool: &'a Pool, node: &'a NodeName, record: &'a NodeRecord) -> Result<Self> {
        let stage = Staged::new(&layout::nodes(pool.root()), node.as_str())?;
        Ok(Self {
            pool,
            node,
            record,
            stage,
        })
    }

    /// Begins an environment of the node.
    pub fn environment(&self, env: &EnvName, boots_next: bool) -> Result<StagedEnvironment> {
        let target = Target {
            pool: self.pool,
            node: self.node,
            record: self.record,
            env,
            boots_next,
        };
        let dir = directory_in(&self.stage, env)?;
        Ok(StagedEnvironment::new(target, dir, Home::Shared))
    }

    /// Adds copies of the data of a node.
    pub fn copy_data(&self, from: &Node) -> Result<()> {
        let dir = self.stage.path().join(layout::DATA);
        atomic::directories(&dir)?;
        data_store::copy(from, &dir)
    }

    /// Adds a complete environment.
    pub fn add(&self, env: &StagedEnvironment, complete: &Complete) -> Result<()> {
        complete.write(env)
    }

    /// Adds a complete environment that the node boots next.
    ///
    /// # Errors
    /// If it did not pass verification.
    pub fn add_active(&self, env: &StagedEnvironment, complete: &Complete) -> Result<Bootable> {
        complete.write(env)?;
        complete.bootable(env)
    }

    /// Publishes the node, with its active environment, by one rename; durable when it returns.
    pub fn publish(self, lock: &NodeLock, active: Option<&Bootable>) -> Result<()> {
        if let Some(active) = active {
            point_to(&self.stage, self.node, active)?;
        }
        publish_node(self.pool, lock, self.node, self.record, self.stage)
    }
}
