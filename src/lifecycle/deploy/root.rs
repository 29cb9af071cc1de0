//! `deploy`: an environment's root on its node's own disk, while kernel and initramfs still come from this server.
//!
//! The root goes to the disk whole before the boot files name it, in a subvolume of its own: what the node boots until then stays as
//! it is, there and here. An environment made from one on the disk has its root on the server again, until it is deployed itself.
//! Not for the tools that write a disk: [`disk`].

use anyhow::{Context, Result};

use super::disk::{self, Disk, Filesystem, Target};
use super::refusals;
use crate::boot::DiskRoot;
use crate::btrfs::send::Sending;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::rooted::Tree;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome, on_card};
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, Environment, Operand, Pool, deployed, layout};
use crate::publish;
use crate::staged::boot_config::{self, Wanted};
use crate::staged::{self, own_disk};

/// How many changed paths are named.
const NAMED: usize = 8;

/// What is deployed, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment; of a node alone, the active one.
    pub operand: Operand,
    /// The disk.
    pub target: Target,
    /// Whether a disk that holds something else is formatted.
    pub format: bool,
    /// What it is formatted with; by default a btrfs is taken as it is, and anything else becomes one.
    pub filesystem: Option<Filesystem>,
}

/// What was deployed.
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
    let env = pool.resolve(&request.operand)?;
    let node = pool.node(&env.node)?;
    refusals::of_environment(pool, &node, &env)?;
    let record = env.record_for_change()?;
    let name = name_on_disk(&env, &record);
    let disk = Disk {
        target: &request.target,
        wait: mode.patience(),
    };
    let found = disk.look()?;
    refusals::of_place(&env, &record, &found)?;
    let formats = refusals::of_disk(pool, request, &found)?;
    let mut work = Work {
        pool,
        request,
        disk,
        mode,
        env: &env,
        name,
        parent: None,
        held: found.held,
        uuid: found.uuid,
        boot_files: String::new(),
        // Formatting destroys: what could not hold the root even empty is not formatted for it.
        free: if formats.is_some() {
            found.size
        } else {
            found.free
        },
        has: found.has,
        root: DiskRoot {
            device: found.root,
            filesystem: formats.unwrap_or(Filesystem::Btrfs).name().to_string(),
            subvolume: None,
            drivers: found.drivers,
            beside: found.beside,
        },
        stage: None,
        notes: Vec::new(),
        warnings: Vec::new(),
    };
    if formats != Some(Filesystem::Ext4) {
        work.root.subvolume = Some(format!("{}/{}", crate::boot::DISK_DIRECTORY, work.name));
    }
    work.verify()?;
    if formats.is_some() {
        work.refuse_for_room()?;
    } else {
        work.parent = deployed::parent(&node, &record, &found.sent);
    }
    let (id, target) = (env.id(), &request.target);
    let mut plan = Plan::new();
    if let Some(filesystem) = formats {
        plan.step(
            format!("format {target} with {}", filesystem.name()),
            move |work: &mut Work| work.format(filesystem),
        );
    }
    let since = work.parent.as_deref().map_or(String::new(), |parent| {
        format!(", what changed since {parent}")
    });
    let sentence = format!("send the root of {id} to {target}{since}");
    plan.step(sentence, Work::send);
    plan.step(
        format!("have {id} boot with its root on that disk"),
        Work::lead,
    );
    let done = plan.carry_out(mode.unless_dry(|| Ok(work))?)?;
    Ok(done.map(|work| Deployed {
        id,
        root: work.root,
        notes: work.notes,
        warnings: work.warnings,
    }))
}

/// Returns the name of an environment on a disk: another one that gets its name later is not taken for it.
fn name_on_disk(env: &Environment, record: &EnvRecord) -> String {
    if let Some(name) = record.disk.as_ref().and_then(DiskRoot::name) {
        return name.to_string();
    }
    format!("{}-{}", env.name, deployed::id(&record.uuid))
}

/// What the steps work with.
struct Work<'a> {
    pool: &'a Pool,
    request: &'a Request,
    disk: Disk<'a>,
    mode: Mode,
    env: &'a Environment,
    /// Its name on the disk.
    name: String,
    /// The name of the one that it is sent as a difference to.
    parent: Option<String>,
    /// What the disk held when it was looked at.
    held: String,
    /// The UUID of its filesystem.
    uuid: String,
    /// What tells the boot files apart from others, as they were when the root was copied.
    boot_files: String,
    /// The free space of the disk, in bytes.
    free: u64,
    /// What is on the disk.
    has: Vec<String>,
    root: DiskRoot,
    /// Shows, until the boot files name it, that what was sent is needed.
    stage: Option<Staged>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Work<'_> {
    /// Refuses what would not boot with its root there.
    fn verify(&self) -> Result<()> {
        let node = self.pool.node(&self.env.node)?;
        let mut record = self.env.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted = Wanted::new(self.pool, &node.name, &node.record, &self.env.name, &record)?;
        let reasons = wanted.reasons_once_written(&self.env.root(), &self.env.boot())?;
        staged::refuse_unbootable(&self.env.id(), &reasons)
    }

    fn format(&mut self, filesystem: Filesystem) -> Result<()> {
        let label = format!("netbe-{}", self.env.node);
        let target = &self.request.target;
        let label: String = label.chars().take(36).collect();
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

    /// Refuses a disk that has less room than a whole root takes; of a difference nobody knows before it is sent.
    fn refuse_for_room(&self) -> Result<()> {
        if self.parent.is_some() {
            return Ok(());
        }
        let takes = disk::size_of(&self.env.root())?;
        if takes <= self.free {
            return Ok(());
        }
        let (env, target) = (self.env, &self.request.target);
        let [takes, free] = [takes, self.free].map(crate::terminal::bytes);
        Err(Failure::refused(format!(
            "the root of {env} takes {takes}, and {target} has {free} of free space"
        ))
        .into())
    }

    /// Sends the root, as it is now, with what differs on a disk.
    fn send(&mut self) -> Result<()> {
        let (pool, env) = (self.pool, self.env);
        self.refuse_for_room()?;
        if self.has.contains(&self.name) {
            // Its boot files never named it: an earlier deploy was cut short.
            self.disk.remove(&self.name)?;
            self.has.retain(|name| *name != self.name);
        }
        self.tell_changes()?;
        let lock = self.mode.lock_idle(pool, &env.node, &env.name)?;
        let node = pool.node(&env.node)?;
        let stage = self
            .stage
            .insert(Staged::new(&node.dir, env.name.as_str())?);
        let (root, boot) = (
            stage.path().join(&self.name),
            stage.path().join(layout::BOOT),
        );
        subvolume::snapshot(&env.root(), &root)?;
        subvolume::snapshot(&env.boot(), &boot)?;
        self.boot_files = on_card::digest_of_boot_half(env)?;
        drop(lock);
        let mut record = env.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
        boot_config::write(&wanted, &root, &boot, &mut record)?;
        own_disk::set(&Tree::open(&root)?)?;
        if self.root.subvolume.is_none() {
            return self.disk.unpack(&self.uuid, &root);
        }
        let sent = deployed::make(&node, &self.name, &root)?;
        let parent = self.parent.as_ref().map(|name| deployed::path(&node, name));
        let (sending, stream) = Sending::begin(&sent, parent.as_deref())?;
        let target = &self.request.target;
        let received = self
            .disk
            .receive(&self.name, &self.uuid, stream)
            .with_context(|| {
                let free = crate::terminal::bytes(self.free);
                format!("sending the root of {env} to {target}, which had {free} of free space")
            });
        let finished = disk::sent(sending.finish());
        received.and(finished)
    }

    /// Has the environment boot with its root on the disk.
    fn lead(&mut self) -> Result<()> {
        let (pool, env) = (self.pool, self.env);
        let lock = self.mode.lock_again(pool, &env.node)?;
        pool.refuse_work(&env.node, &env.name, self.mode.wait)?;
        let node = pool.node(&env.node)?;
        let now = node.environment(&env.name)?;
        anyhow::ensure!(now.uuid() == env.uuid(), "{env} is another one by now");
        if on_card::digest_of_boot_half(&now)? != self.boot_files {
            return Err(Failure::refused(format!(
                "the boot files of {env} changed while its root was sent, which may lack the modules of another kernel: \
                 run the same command again"
            ))
            .into());
        }
        let mut record = now.record_for_change()?;
        record.disk = Some(self.root.clone());
        let wanted =
            Wanted::new(pool, &node.name, &node.record, &env.name, &record)?.while_it_runs();
        let (root, boot) = (now.root(), now.boot());
        // Before the boot files name the disk: without it in the record, they would be taken for files that are wrong. And
        // where machines report is exported before the system boots that does.
        now.store(&lock, &record, Durable::AtOnce)?;
        drop(self.stage.take());
        publish::everything(pool, Some(&pool.lock(self.mode.wait)?))?;
        let notes = boot_config::write(&wanted, &root, &boot, &mut record)?;
        self.notes.extend(notes);
        if now.active {
            self.notes.push(format!(
                "what {} writes into its root on this server before it restarts stays there",
                now.node
            ));
        }
        record.would_not_boot = wanted.reasons_to_record(&root, &boot)?;
        let told = |reason| format!("{env} would not boot: {reason}");
        self.warnings.extend(record.would_not_boot.iter().map(told));
        now.store(&lock, &record, Durable::WithNextSync)?;
        subvolume::sync(&root).context("making it durable")?;
        deployed::forget_unneeded(&node)
    }

    /// Tells what the node has changed on its disk: that stays there, and is not in what is sent.
    ///
    /// Nothing is removed: what no environment of this node knows may be another node's, or another server's.
    fn tell_changes(&mut self) -> Result<()> {
        for name in self.has.clone() {
            let changes = match self.disk.changes(&name) {
                Ok(changes) if changes.is_empty() => continue,
                Ok(changes) => changes,
                Err(e) => {
                    let warning = format!(
                        "what {} changed in netbe/{name} is not known: {e:#}",
                        self.env.node
                    );
                    self.warnings.push(warning);
                    continue;
                }
            };
            let named = changes
                .iter()
                .take(NAMED)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let more = match changes.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            self.notes.push(format!(
                "{} has changed on its disk, in netbe/{name}, where it stays: {named}{more}",
                self.env.node
            ));
        }
        Ok(())
    }
}
