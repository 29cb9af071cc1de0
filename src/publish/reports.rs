//! Where machines report whose root is read-only: a subvolume of their node, which they may write.
//!
//! Made before what boots so is exported, and kept. Not for reading the reports.

use anyhow::{Context, Result};

use super::Published;
use crate::btrfs::subvolume;
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, Pool, PoolLock, layout};

/// Makes the subvolume of a node, if one of these environments has a read-only root; without `lock`, nothing is made.
pub(super) fn make(
    pool: &Pool,
    lock: Option<&PoolLock>,
    node: &Node,
    envs: &[Environment],
    done: &mut Published,
) -> Result<()> {
    pool.ensure_protected(lock)?;
    let reports = |env: &Environment| {
        env.record
            .as_ref()
            .is_some_and(EnvRecord::reports_by_export)
    };
    let path = layout::reports(pool.root(), &node.name);
    if !envs.iter().any(reports) || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    done.steps.push(format!("make {}", path.display()));
    if lock.is_some() {
        subvolume::create(&path).with_context(|| {
            format!(
                "making {}, where the machines of {} report",
                path.display(),
                node.name
            )
        })?;
    }
    Ok(())
}
