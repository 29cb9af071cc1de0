//! Data that a node gets together with an environment.
//!
//! Not for an environment's mounts of the data, which follow the record.

use std::path::PathBuf;

use anyhow::Result;

use super::{Home, StagedEnvironment};
use crate::fs::atomic;
use crate::pool::record::NodeRecord;
use crate::pool::{data_store, layout};

impl StagedEnvironment {
    /// Uses this record, which its node gets before the environment is published.
    pub(crate) fn set_record(&mut self, record: NodeRecord) {
        self.record = record;
    }

    /// Returns the directory of the data of the new node.
    ///
    /// # Errors
    /// If its node is not new.
    pub fn data_dir(&self) -> Result<PathBuf> {
        let Home::NewNode(stage) = &self.home else {
            anyhow::bail!("{} is not new", self.node);
        };
        Ok(stage.path().join(layout::DATA))
    }

    /// Makes the data of the new node, by its record, from the content of the root half; returns notes, a sentence each.
    pub fn fill_data(&self) -> Result<Vec<String>> {
        let dir = self.data_dir()?;
        atomic::directories(&dir)?;
        let paths: Vec<_> = self.record.data.mounted().cloned().collect();
        data_store::fill(&self.root(), &dir, &paths)
    }
}
