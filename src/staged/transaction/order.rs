//! The place of an environment in the order of creation, and the subvolumes that its halves are snapshots of.
//!
//! Not for comparing places.

use anyhow::Result;

use super::StagedEnvironment;
use crate::btrfs::subvolume;
use crate::pool::EnvRecord;
use crate::pool::record::Snapshots;

impl StagedEnvironment {
    /// Records its place in the order of creation, and the subvolumes that its halves are snapshots of; a renamed
    /// environment keeps its place.
    pub(super) fn number(&self, record: &mut EnvRecord, before: &EnvRecord) -> Result<()> {
        let (root, boot) = (
            subvolume::info(&self.root())?,
            subvolume::info(&self.boot())?,
        );
        if record.replaces.is_none() {
            record.number = Some(root.id);
        }
        if let (Some(of_root), Some(of_boot)) = (root.parent_uuid, boot.parent_uuid) {
            let own = Snapshots {
                root: (of_root.to_string(), root.made),
                boot: (of_boot.to_string(), boot.made),
            };
            record.note_snapshots(own, before);
        }
        Ok(())
    }
}

/// Returns a warning if the creation times of two environments contradict their order.
pub(super) fn clock_behind(made: &EnvRecord, before: &EnvRecord) -> Option<String> {
    (made.created < before.created).then(|| {
        format!(
            "the clock of this server says {:.0}, earlier than the creation of the origin ({:.0}): check the clock; \
             netbe takes for the newest environment the one that was made last",
            made.created, before.created
        )
    })
}
