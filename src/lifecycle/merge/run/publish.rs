//! Publishing the result of a merge, with the record of what was merged.
//!
//! Not for the merge.

use anyhow::Result;
use jiff::Timestamp;

use super::Run;
use crate::btrfs::subvolume::{self, Info};
use crate::pool::record::{EnvRecord, Merged as Until};
use crate::pool::{Environment, NodeLock};
use crate::staged::{Content, Identity, Made, StagedEnvironment};

impl Run<'_> {
    pub(super) fn publish(
        &self,
        staged: StagedEnvironment,
        lock: &NodeLock,
        begun: u64,
        until: Info,
        is_decided: bool,
    ) -> Result<Made> {
        let uuid = staged.uuid()?;
        let mut record = match self.is_staged {
            true => EnvRecord {
                uuid,
                ..self.before.clone()
            },
            false => self.before.derived(uuid, &self.node.name, &self.to.name),
        };
        record.description.clone_from(&self.request.description);
        // A result with conflicts is activated only by its name, after the user has resolved them.
        record.proposed = is_decided;
        record.undecided = !is_decided;
        let mut complete = staged.complete(Content {
            record,
            before: self.before.clone(),
            identity: Identity::Same,
        })?;
        subvolume::sync(staged.dir())?;
        let complete_now = subvolume::info(&staged.root())?
            .generation
            .max(subvolume::info(&staged.boot())?.generation);
        // After a merge of some paths only, the others are still to be merged.
        if self.request.paths.is_empty() {
            let until = Until {
                uuid: self.from.uuid().unwrap_or_default().to_string(),
                until: until.made,
                until_at: until.created,
                begun,
                complete: complete_now,
                complete_at: Timestamp::now(),
            };
            note_merged(&mut complete.record.merged, &self.from, &until);
        }
        staged.publish(lock, complete)
    }
}

/// Records up to which point the changes of FROM are in the result, and the merges into FROM before.
fn note_merged(merged: &mut Vec<Until>, from: &Environment, own: &Until) {
    let before = from.record.iter().flat_map(|record| &record.merged);
    let before = before.map(|before| Until {
        begun: own.begun,
        complete: own.complete,
        complete_at: own.complete_at,
        ..before.clone()
    });
    for one in before.chain([own.clone()]) {
        merged.retain(|there| there.uuid != one.uuid);
        merged.push(one);
    }
}
