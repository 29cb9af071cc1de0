//! The directory in which machines with a read-only root report: a subvolume of their node, which they may write.
//!
//! It is made before such an environment is exported, and stays. Not for reading the reports.

use anyhow::{Context, Result};

use super::run::Publishing;
use crate::btrfs::subvolume;
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, layout};

/// Makes the subvolume of a node, if one of these environments has a read-only root.
pub(super) fn make(run: &mut Publishing<'_>, node: &Node, envs: &[Environment]) -> Result<()> {
    let reports = |env: &Environment| {
        env.record
            .as_ref()
            .is_some_and(EnvRecord::reports_by_export)
    };
    let path = layout::reports(run.pool.root(), &node.name);
    if !envs.iter().any(reports) || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    run.step(format!("make {}", path.display()), || {
        subvolume::create(&path).with_context(|| {
            format!(
                "making {}, where the machines of {} report",
                path.display(),
                node.name
            )
        })
    })
}
