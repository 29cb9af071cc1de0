//! What becomes of the copy: what is put right in it and written of it, and what is kept of one whose run failed.
//!
//! Not for the run itself.

use std::path::Path;

use anyhow::Result;

use super::{LOG, Run, program};
use crate::failure::Failure;
use crate::lifecycle::dressing::{self, Wanted};
use crate::packages::Changes;
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{Environment, Pool, layout};
use crate::storage::beneath::Tree;
use crate::storage::replace::Durable;
use crate::storage::{btrfs, interrupt};

impl Run<'_> {
    /// Returns the new environment's record.
    pub(super) fn record(&self, root: &Path, changes: Option<Changes>) -> Result<EnvRecord> {
        let uuid = btrfs::info(root)?.uuid.to_string();
        let (node, name) = (&self.source.node, &self.source.name);
        let mut record = self.before.derived(uuid, node, name);
        record.description.clone_from(&self.request.description);
        record.upgrade = changes;
        Ok(record)
    }

    /// Makes the halves say what netbe wants of them, and brings the record up to date with it.
    pub(super) fn dress(
        &self,
        pool: &Pool,
        root: &Path,
        boot: &Path,
        record: &mut EnvRecord,
    ) -> Result<(Wanted, Vec<String>)> {
        restore_command_line(self.source, boot)?;
        let wanted = Wanted::new(
            pool,
            &self.node.name,
            &self.node.record,
            &self.name,
            &self.before,
        )?;
        let notes = dressing::dress(&wanted, root, boot, record)?;
        Ok((wanted, notes))
    }

    /// Keeps the log of a failed run, and the copy where that was asked for; returns the error to end with.
    pub(super) fn failed(
        &self,
        pool: &Pool,
        stage: Staged,
        error: &anyhow::Error,
    ) -> Result<Failure> {
        let log = self.node.dir.join(format!("failed-{LOG}"));
        let said = program::keep_end(&stage.path().join(LOG), &log).is_ok();
        let ended = |outcome: &str| {
            let mut failure =
                Failure::failed(format!("upgrading {}: {outcome}: {error:#}", self.source));
            if let Some(refusal) = error.downcast_ref::<Failure>() {
                failure.kind = refusal.kind;
            }
            match said {
                true => failure.hint(format!("everything it said: less {}", log.display())),
                false => failure,
            }
        };
        if !self.request.keep || interrupt::asked().is_some() {
            drop(stage);
            return Ok(ended("nothing was kept"));
        }
        let (root, boot) = (
            stage.path().join(layout::ROOT),
            stage.path().join(layout::BOOT),
        );
        let mut record = self.record(&root, None)?;
        // What cannot be put right is still what was to be kept.
        let _ = self.dress(pool, &root, &boot, &mut record);
        record.failed = Some(
            format!("its upgrade failed: {error:#}")
                .lines()
                .next()
                .unwrap_or_default()
                .to_string(),
        );
        record.store(stage.path(), pool.key(), Durable::WithNextSync)?;
        stage.publish(&layout::env(pool.root(), &self.node.name, &self.name))?;
        Ok(ended(&format!("the copy is kept as {}", self.target())))
    }
}

/// Puts the source's `cmdline.txt` back where the run replaced it.
///
/// Debian's raspi-firmware hook writes the file anew after every new kernel or initramfs, with the
/// server's own disk as root, and with it go all arguments the node had. A line that still names the
/// source's root was merely edited, and stays.
fn restore_command_line(source: &Environment, boot: &Path) -> Result<()> {
    const FILE: &str = "cmdline.txt";
    let before = Tree::open(&source.boot())?.read_text(FILE)?;
    let tree = Tree::open(boot)?;
    let root = source.root();
    if let Some(before) = before
        && let Some(root) = root.to_str()
        && before.contains(root)
        && !tree.read_text(FILE)?.is_some_and(|now| now.contains(root))
    {
        tree.write(FILE, before.as_bytes())?;
    }
    Ok(())
}
