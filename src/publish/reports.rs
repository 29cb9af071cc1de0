//! Where machines report whose root is read-only: a subvolume of their node, which they may write.
//!
//! Made before what boots so is exported, and kept. Not for reading the reports.

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
