//! The steps of an upgrade, each as a dry run tells it and as it is taken.
//!
//! A run that finds nothing to upgrade ends with its commands: the steps after them do nothing then.

use std::path::Path;

use anyhow::{Context, Result};

use super::changed::{self, Before};
use super::reshare;
use super::{LOG, Run, Upgraded};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::images::{Access, Opened};
use crate::lifecycle::data::thrown_away::ThrownAway;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, activate_new, left_behind};
use crate::packages::{self, Changes};
use crate::pool::lock::EnvLock;
use crate::pool::record::Shared;
use crate::pool::{NodeLock, Pool, layout};
use crate::staged::{Made, StagedEnvironment, origin_texts, snapshot};

/// The context of the steps.
pub(super) struct Upgrading {
    /// The lock of the node; absent while the commands run, which may take an hour.
    lock: Option<NodeLock>,
    /// The copy, until it is published.
    staged: Option<StagedEnvironment>,
    /// The lock of its name.
    name_stays: Option<EnvLock>,
    changes: Option<Changes>,
    shared: Option<Shared>,
    made: Option<Made>,
    notes: Vec<String>,
    warnings: Vec<String>,
    package_notes: Vec<String>,
    upgraded: Option<Upgraded>,
}

impl Upgrading {
    pub(super) fn new(lock: NodeLock) -> Self {
        Self {
            lock: Some(lock),
            staged: None,
            name_stays: None,
            changes: None,
            shared: None,
            made: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            package_notes: Vec::new(),
            upgraded: None,
        }
    }

    /// Returns the result, once all steps are taken.
    pub(super) fn result(self) -> Result<Upgraded> {
        let mut upgraded = self.upgraded.context("no step had a result")?;
        if let Upgraded::New {
            notes, warnings, ..
        } = &mut upgraded
        {
            notes.extend(self.notes);
            warnings.extend(self.warnings);
        }
        Ok(upgraded)
    }

    fn lock(&self) -> Result<&NodeLock> {
        self.lock.as_ref().context("the node is not locked")
    }
}

impl Run<'_> {
    /// Returns the steps.
    pub(super) fn steps<'s>(&'s self, pool: &'s Pool, mode: Mode) -> Plan<'s, Upgrading> {
        let target = self.target();
        let mut plan = Plan::new();
        let halves = format!("snapshot both halves of {} as {target}", self.source);
        plan.step(halves, move |it: &mut Upgrading| self.begin(pool, it));
        let commands = self.steps.iter();
        let commands = commands.map(|step| format!("run in it: {}", step.argv.join(" ")));
        plan.steps(commands.collect(), move |it| self.run(pool, it, mode));
        let put_right = format!("put the boot files and fstab of {target} right, and verify it");
        // It reads kernels, and no step takes it.
        let as_it_is = mode.dry_run.then(|| self.as_it_is()).flatten();
        let sentences = [put_right].into_iter().chain(as_it_is);
        plan.steps(sentences.collect(), move |it| self.publish(pool, it, mode));
        if self.request.activate {
            plan.step(format!("activate {target}"), move |it| {
                self.activate(pool, it, mode)
            });
        }
        if let Some(back_to) = &self.back_to {
            let node = &self.node.name;
            plan.step(
                format!("lead {node} to {target} for its next boot, then to {back_to}"),
                move |it| {
                    // A pending boot takes the locks itself.
                    it.lock = None;
                    it.name_stays = None;
                    let upgraded = it.upgraded.as_mut().context("there is no result")?;
                    self.lead(pool, upgraded, mode)
                },
            );
        }
        plan
    }

    fn begin(&self, pool: &Pool, it: &mut Upgrading) -> Result<()> {
        let staged = StagedEnvironment::in_node(self.target_in(pool), self.node)?;
        it.notes = staged.snapshot(self.source)?;
        if self.before.image.is_none() {
            origin_texts::keep(&staged)?;
        }
        it.staged = Some(staged);
        it.name_stays = Some(pool.lock_env(it.lock()?, &self.name)?);
        it.lock = None;
        Ok(())
    }

    /// Runs the commands, and looks at what they changed.
    fn run(&self, pool: &Pool, it: &mut Upgrading, mode: Mode) -> Result<()> {
        let staged = it.staged.take().context("it was not snapshotted")?;
        let is_image = self.before.image.is_some();
        let before = match self.commanded {
            true => None,
            false => Some(Before::keep(self.node, &staged, self.name.as_str())?),
        };
        let root = staged.root();
        let driver = self.node.image_driver(pool);
        let files = is_image.then(|| Opened::by(driver, &root, Access::Change));
        let files = files.transpose()?;
        let had_servers = changed::servers_modules(&root).is_some();
        let installed = |at: &Path| -> Result<_> { Ok(packages::installed(&Tree::open(at)?)) };
        let old = installed(&root)?;
        let data = ThrownAway::new(self.node)?;
        match self.run_commands(pool, &staged, data.bounds()) {
            Ok(ran) => {
                it.notes.extend(ran.notes);
                it.notes.extend(data.note());
                it.package_notes = ran.package_notes;
            }
            Err(failed) => {
                files.map(Opened::close).transpose()?;
                return Err(self.failed(pool, staged, &failed, mode)?.into());
            }
        }
        interrupt::check()?;
        it.changes = match (old, installed(&root)?) {
            (Ok(old), Ok(new)) => Some(packages::changes(&old, &new)),
            (_, Err(unread)) | (Err(unread), _) => {
                it.notes
                    .push(format!("the changed packages are not known: {unread}"));
                None
            }
        };
        let new_modules = changed::servers_modules(&root).filter(|_| !had_servers);
        files.map(Opened::close).transpose()?;
        if let Some(before) = before
            && it.changes.as_ref().is_none_or(Changes::is_empty)
        {
            let changed = before.changed(&staged, &self.before)?;
            if changed.is_empty() {
                it.upgraded = Some(Upgraded::NothingToDo {
                    source: self.source.id(),
                    package_notes: std::mem::take(&mut it.package_notes),
                });
                return Ok(());
            }
            if it.changes.is_some() {
                it.notes.push(changed::files_alone(&changed));
            }
        }
        if let Some(path) = new_modules {
            it.notes.push(format!(
                "the run wrote {path}: modules for this server's kernel, which no machine boots by that"
            ));
        }
        it.notes.extend(snapshot::flatten_within(&root)?);
        if !is_image {
            // Before the lock, since it may take long. A later refusal makes it useless, which is rare. Blocks of an image
            // that were not written are still shared.
            (it.shared, it.warnings) = reshare::share_again(self.source, staged.dir())?;
        }
        it.staged = Some(staged);
        Ok(())
    }

    /// Completes the copy and publishes it under its name.
    fn publish(&self, pool: &Pool, it: &mut Upgrading, mode: Mode) -> Result<()> {
        let Some(mut staged) = it.staged.take() else {
            return Ok(());
        };
        let completed = self.completed(pool, &mut staged, it.changes.clone(), mode);
        let (lock, mut complete) = match completed {
            Ok(completed) => completed,
            // Such as a missing kernel: the command's output tells why.
            Err(failed) => return Err(self.failed(pool, staged, &failed, mode)?.into()),
        };
        complete.record.shared = it.shared;
        let would_boot = complete.record.would_not_boot.is_empty();
        let mut made = staged.publish(&lock, complete)?;
        it.notes.append(&mut made.notes);
        let id = self.target();
        it.notes
            .extend(changed::left_outside(self.node, it.changes.as_ref(), &id));
        it.warnings.append(&mut made.warnings);
        if !self.request.boots_next() {
            let env = self.node.environment(&self.name)?;
            it.warnings
                .extend(left_behind::warnings(pool, self.node, &env));
        }
        it.upgraded = Some(Upgraded::New {
            id,
            origin: self.source.id(),
            changes: it.changes.take(),
            shared: it.shared,
            active: self.request.activate,
            begun: None,
            would_boot,
            log: layout::env(pool.root(), &self.node.name, &self.name).join(LOG),
            package_notes: std::mem::take(&mut it.package_notes),
            notes: Vec::new(),
            warnings: Vec::new(),
        });
        it.made = Some(made);
        it.lock = Some(lock);
        Ok(())
    }

    fn activate(&self, pool: &Pool, it: &mut Upgrading, mode: Mode) -> Result<()> {
        let Some(made) = &it.made else {
            return Ok(());
        };
        let (node, env) = (&self.node.name, &self.name);
        let activated = activate_new::activate(pool, it.lock()?, node, env, made, mode)?;
        it.warnings.extend(activated);
        Ok(())
    }
}
