//! `deploy`: an environment's root on its node's own disk, while kernel and initramfs still come from this server.
//!
//! The root is sent whole, into a new subvolume, before the boot files name it: until then the node boots what it booted
//! before. Everything is refused, and the halves are snapshotted, before the disk is changed. No lock is held while the disk
//! works: the snapshots, in a stage, mark the environment. A copy of a deployed environment has its root on the server
//! again, until it is deployed itself. Not for the tools that write a disk: `disk`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::disk::{Disk, Filesystem};
use super::work::{Request, Work};
use super::{refusals, room};
use crate::boot::DiskRoot;
use crate::btrfs::send::Sending;
use crate::btrfs::subvolume;
use crate::fs::rooted::Tree;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome, local, on_card};
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, Environment, Node, Pool, deployed, layout};
use crate::staged::boot_config::{self, Wanted};
use crate::staged::{self, own_disk};

/// The result.
#[derive(Debug)]
pub struct Deployed {
    /// The environment.
    pub id: EnvId,
    /// Where its root is now.
    pub root: DiskRoot,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Puts the root of an environment on the disk of its node, and has it boot from there.
pub fn deploy(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Deployed>> {
    local::refuse(pool, format_args!("{} cannot be deployed", request.operand))?;
    let chosen = pool.resolve(&request.operand)?;
    pool.refuse_read_only()?;
    pool.refuse_work(&chosen.node, &chosen.name, mode.patience())?;
    deployed::refuse_work(&chosen, mode.patience())?;
    // Read again after that.
    let node = pool.node(&chosen.node)?;
    let env = node.environment(&chosen.name)?;
    refusals::of_environment(pool, &node, &env)?;
    let record = env.record_for_change()?;
    let name = name_on_disk(&env, &record);
    let disk = Disk {
        target: &request.target,
        wait: mode.patience(),
        env: &env,
    };
    let found = disk.look()?;
    refusals::of_place(&env, &record, &found)?;
    let formats = refusals::of_disk(pool, request, &found)?;
    deployed::refuse_formatting(&node, formats.is_some())?;
    let mut work = Work {
        pool,
        request,
        disk,
        mode,
        env: &env,
        name,
        parent: None,
        formats,
        device: found.device,
        holds: found.holds,
        held: found.held,
        uuid: found.uuid,
        boot_files: String::new(),
        // Formatting destroys: a disk that could not hold the root even when empty is not formatted for it.
        free: if formats.is_some() {
            found.size
        } else {
            found.free
        },
        size: found.size,
        takes: None,
        has: found.has,
        root: DiskRoot {
            device: found.root,
            filesystem: formats.unwrap_or(Filesystem::Btrfs).name().to_string(),
            subvolume: None,
            target: Some(request.target.to_string()),
            drivers: found.drivers,
            beside: found.beside,
        },
        stage: None,
        removed: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
    };
    if formats != Some(Filesystem::Ext4) {
        work.root.subvolume = Some(format!("{}/{}", crate::boot::DISK_DIRECTORY, work.name));
    }
    work.verify(&node, &env, (&env.root(), &env.boot()))?;
    if formats.is_none() {
        work.parent = deployed::parent(&node, &record, &work.root.device, &found.sent)?;
    }
    work.measure()?;
    let goes = work.in_the_way(&node)?;
    if goes.is_empty() {
        work.refuse_for_room()?;
    }
    let (id, target) = (env.id(), &request.target);
    let mut plan = Plan::new();
    if let Some(filesystem) = formats {
        plan.step(
            format!("format {target} with {}", filesystem.name()),
            move |work: &mut Work| work.format(filesystem),
        );
    }
    if !goes.is_empty() {
        plan.step(
            format!(
                "remove from {target}, the oldest first, until there is room: {}",
                goes.join(", ")
            ),
            Work::make_room,
        );
    }
    let since = work.parent.as_deref().map_or(String::new(), |parent| {
        format!(", what changed since {parent}")
    });
    let sentence = format!("send the root of {id} to {target}{since}");
    plan.step(sentence, |work| {
        work.send().map_err(|e| work.with_removed(e))
    });
    plan.step(
        format!("have {id} boot with its root on that disk"),
        |work| work.lead().map_err(|e| work.with_removed(e)),
    );
    let done = plan.carry_out(mode.unless_dry(|| work.begin())?)?;
    Ok(done.map(|work| Deployed {
        id,
        root: work.root,
        notes: work.removed.into_iter().chain(work.notes).collect(),
        warnings: work.warnings,
    }))
}

/// Returns the name of an environment on a disk, which a later environment of the same name does not get.
fn name_on_disk(env: &Environment, record: &EnvRecord) -> String {
    if let Some(name) = record.disk.as_ref().and_then(DiskRoot::name) {
        return name.to_string();
    }
    format!("{}-{}", env.name, deployed::id(&record.uuid))
}

impl Work<'_> {
    /// Refuses an environment that would not boot with its root there; `halves` are its root and its boot half.
    fn verify(&self, node: &Node, env: &Environment, halves: (&Path, &Path)) -> Result<()> {
        let mut record = env.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted = Wanted::new(self.pool, &node.name, &node.record, &env.name, &record)?;
        let reasons = wanted.reasons_once_written(halves.0, halves.1)?;
        staged::refuse_unbootable(&env.id(), &reasons)
    }

    /// Refuses again, under the node's lock, and snapshots the halves: after that, the disk is changed.
    fn begin(mut self) -> Result<Self> {
        let (pool, env) = (self.pool, self.env);
        let _lock = self.mode.lock_idle(pool, &env.node, &env.name)?;
        let node = pool.node(&env.node)?;
        let now = node.environment(&env.name)?;
        refusals::of_another(env, &now)?;
        deployed::refuse_work(&now, Duration::ZERO)?;
        refusals::of_environment(pool, &node, &now)?;
        if self.formats.is_some() {
            refusals::of_used(pool, &self.device, &self.holds)?;
        }
        deployed::refuse_formatting(&node, self.formats.is_some())?;
        // Entries of its own name: from here on it is marked.
        let stage = Staged::new(&node.dir, env.name.as_str())?;
        if self.formats.is_some() {
            deployed::mark_formatting(&stage)?;
        }
        self.stage = Some(stage);
        let (root, boot) = self.halves()?;
        subvolume::snapshot(&now.root(), &root)?;
        subvolume::snapshot(&now.boot(), &boot)?;
        self.boot_files = on_card::digest_of_boot_half(&now)?;
        self.verify(&node, &now, (&root, &boot))?;
        Ok(self)
    }

    /// Returns the paths of the snapshots of both halves.
    fn halves(&self) -> Result<(PathBuf, PathBuf)> {
        let stage = self.stage.as_ref().context("it was not snapshotted")?;
        let at = stage.path();
        Ok((at.join(&self.name), at.join(layout::BOOT)))
    }

    /// Formats the disk, and reports what the node has changed on it.
    fn format(&mut self, filesystem: Filesystem) -> Result<()> {
        let label = format!("netbe-{}", self.env.node);
        let target = &self.request.target;
        let label: String = label.chars().take(36).collect();
        for name in std::mem::take(&mut self.has) {
            if let Some(changes) = self.changes_in(&name) {
                let sentence =
                    format!("{target} was formatted, with netbe/{name}, in which {changes}");
                self.removed.push(sentence);
            }
        }
        self.disk.format(&label, &self.held, filesystem)?;
        let found = self.disk.look()?;
        anyhow::ensure!(
            !found.root.is_empty(),
            "{target} is formatted, and has no UUID"
        );
        self.root.device = found.root;
        self.uuid = found.uuid;
        self.root.beside = found.beside;
        self.free = found.free;
        Ok(())
    }

    /// Sends the root as it was, with the changes that a root on a disk needs.
    fn send(&mut self) -> Result<()> {
        let (pool, env) = (self.pool, self.env);
        self.refuse_for_room()?;
        self.clear_name()?;
        self.tell_changes();
        let (root, boot) = self.halves()?;
        let node = pool.node(&env.node)?;
        let mut record = env.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
        boot_config::write(&wanted, &root, &boot, &mut record)?;
        own_disk::set(&Tree::open(&root)?)?;
        if self.root.subvolume.is_none() {
            return self.disk.unpack(&self.uuid, &root);
        }
        let sent = self.make(&root)?;
        let parent = self.parent.as_ref().map(|name| deployed::path(&node, name));
        loop {
            match self.send_subvolume(&sent, parent.as_deref()) {
                Err(e) if room::is_full(&e) && self.remove_oldest()? => {}
                done => return done,
            }
        }
    }

    /// Snapshots what is sent, in place of what was sent to another disk.
    fn make(&self, root: &Path) -> Result<PathBuf> {
        let _lock = self.mode.lock_again(self.pool, &self.env.node)?;
        deployed::make(&self.pool.node(&self.env.node)?, &self.name, root)
    }

    fn send_subvolume(&self, sent: &Path, parent: Option<&Path>) -> Result<()> {
        let (env, target) = (self.env, &self.request.target);
        let reading = || format!("sending the root of {env}");
        let (sending, stream) = Sending::begin(sent, parent).with_context(reading)?;
        let received = self
            .disk
            .receive(&self.name, &self.uuid, stream)
            .with_context(|| {
                let free = crate::terminal::bytes(self.free);
                format!("sending the root of {env} to {target}, which had {free} of free space")
            });
        match sending.finish() {
            // The receiver knows only that the stream ended early.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).with_context(reading),
            finished => received.and(finished.with_context(reading)),
        }
    }
}
