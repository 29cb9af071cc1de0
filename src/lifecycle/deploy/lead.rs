//! Having an environment boot with its root on a disk, once the root is complete there.
//!
//! The last step of a `deploy` of a root, under the locks of node and pool. Promises that whatever refuses it leaves the
//! environment booting what it booted before. Not for the disk.

use std::time::Duration;

use anyhow::{Context, Result};

use super::refusals;
use super::work::Work;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::lifecycle::{AFTERWARDS, on_card};
use crate::pool::{Environment, Node, deployed};
use crate::publish;
use crate::staged::boot_config::{self, Wanted};
use crate::staged::refuse_unbootable;

impl Work<'_> {
    /// Has the environment boot with its root on the disk.
    pub(super) fn lead(&mut self) -> Result<()> {
        let (pool, env) = (self.pool, self.env);
        // Waits long for other commands: what was sent for hours must not be lost.
        let patience = self.mode.wait.max(AFTERWARDS);
        // Without the node's lock, which the command that works in the environment needs in order to end.
        pool.refuse_work(&env.node, &env.name, patience)?;
        let lock = self.mode.lock_again(pool, &env.node)?;
        pool.refuse_work(&env.node, &env.name, Duration::ZERO)?;
        let shared = pool.lock(patience)?;
        let node = pool.node(&env.node)?;
        let now = node.environment(&env.name)?;
        self.refuse_changed(&node, &now)?;
        let mut record = now.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted =
            Wanted::new(pool, &node.name, &node.record, &env.name, &record)?.while_it_runs();
        let (root, boot) = (now.root(), now.boot());
        // As for anything that is or becomes active: properties and modules may have changed since it was verified.
        refuse_unbootable(&now.id(), &wanted.reasons_once_written(&root, &boot)?)?;
        // Before the boot files name the disk: without the disk in the record, the boot files would be found wrong. And the
        // directory for reports is exported before the system boots that reports there.
        let announced = wanted.announced(&record);
        now.store(
            &lock,
            announced.as_ref().unwrap_or(&record),
            Durable::AtOnce,
        )?;
        drop(self.stage.take());
        publish::everything(pool, Some(&shared))?;
        let notes = boot_config::write(&wanted, &root, &boot, &mut record)?;
        self.notes.extend(notes);
        if now.active {
            self.notes.push(format!(
                "what {} writes into its root on this server before it restarts stays there",
                now.node
            ));
        }
        // Nothing, unless the node, which may have the halves mounted, has changed them this moment: the boot files are
        // written then, and lead to a root that is complete.
        record.would_not_boot = wanted.reasons_to_record(&root, &boot)?;
        let warning = |reason| format!("{env} would not boot: {reason}");
        self.warnings
            .extend(record.would_not_boot.iter().map(warning));
        now.store(&lock, &record, Durable::WithNextSync)?;
        subvolume::sync(&root).context("making it durable")?;
        deployed::forget_unneeded(&node)
    }

    /// Refuses what has changed since the disk was begun to be written.
    fn refuse_changed(&self, node: &Node, now: &Environment) -> Result<()> {
        let env = self.env;
        refusals::of_another(env, now)?;
        refusals::of_environment(self.pool, node, now)?;
        if on_card::digest_of_boot_half(now)? == self.boot_files {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the boot files of {env} changed while its root was sent, which may lack the modules of another kernel: \
             run the same command again"
        ))
        .into())
    }
}
