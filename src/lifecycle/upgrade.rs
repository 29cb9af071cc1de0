//! Upgrading a copy of an environment: `upgrade`.
//!
//! The source is never changed. The command runs in a stage; then netbe writes its own settings again, verifies the
//! result, shares the extents of rewritten files that are unchanged, and publishes it as an environment. A command that
//! fails or is stopped leaves only its log, unless the copy is to be kept. Several nodes at once: [`super::fleet`].

pub(super) mod changed;
mod commands;
mod downloads;
pub(super) mod program;
mod reshare;
mod result;

use std::path::{Path, PathBuf};

use anyhow::Result;

use self::changed::Before;
use super::data::thrown_away::ThrownAway;
use super::trial::{self, Begun, How};
use super::{Mode, Outcome, activate_new, left_behind, lent, plan};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::images::{Access, Opened};
use crate::packages::{self, Changes, Downloads, Step};
use crate::pool::layout::UPGRADE_LOG as LOG;
use crate::pool::record::{EnvRecord, Shared};
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, Operand, Pool, layout};
use crate::sandbox::{Durable, Network};
use crate::staged;
use crate::staged::boot_config::Wanted;
use crate::staged::{StagedEnvironment, Target, origin_texts, snapshot};

/// The request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source; a node alone means its active environment.
    pub source: Operand,
    /// The name of the new environment; without it, the name is the current time.
    pub name: Option<EnvName>,
    /// The command to run instead of the distribution's full upgrade.
    pub command: Vec<String>,
    /// Whether to activate the new environment.
    pub activate: bool,
    /// Whether the node is to boot it once, or on trial.
    pub how: Option<How>,
    /// Whether to keep the copy when the command fails.
    pub keep: bool,
    /// The description.
    pub description: String,
    /// Whether the command's output is shown as it comes.
    pub echo: bool,
    /// Whether other nodes are upgraded at the same time.
    pub beside_others: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one in a run of netbe, not many"
)]
pub enum Upgraded {
    /// There is nothing to upgrade: no new environment.
    NothingToDo {
        /// The environment, which is up to date.
        source: EnvId,
        /// Notes from the package manager's output, a sentence each.
        package_notes: Vec<String>,
    },
    /// A new environment.
    New {
        /// The new environment.
        id: EnvId,
        /// Its origin.
        origin: EnvId,
        /// The package changes, if netbe can read the package database.
        changes: Option<Changes>,
        /// Its disk space, if known.
        shared: Option<Shared>,
        /// Whether it was activated.
        active: bool,
        /// Its pending boot, if it is to be booted once or on trial.
        begun: Option<Begun>,
        /// Whether it passed verification.
        would_boot: bool,
        /// The log with the command's output.
        log: PathBuf,
        /// Notes from the package manager's output, a sentence each: packages that were kept back, or that it must run
        /// again.
        package_notes: Vec<String>,
        /// Other notes, a sentence each.
        notes: Vec<String>,
        /// Warnings, a sentence each.
        warnings: Vec<String>,
    },
}

/// Upgrades a copy of an environment and publishes it as a new one.
pub fn upgrade(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Upgraded>> {
    let source = pool.resolve(&request.source)?;
    // A disk image is read without the lock of its node.
    let read = (source.is_image() && !mode.dry_run)
        .then(|| program::commands_of(pool, &pool.node(&source.node)?, &source, request));
    let read = read.transpose()?;
    let lock = mode.lock_idle(pool, &source.node, &source.name)?;
    let node = pool.node(&source.node)?;
    node.refuse_lost()?;
    let source = lent::give_back(lock.as_ref(), &node, node.environment(&source.name)?)?;
    let run = Run::plan(pool, &node, &source, request, read)?;
    plan::one_step(
        lock,
        || run.steps(),
        |lock| {
            let mut upgraded = run.perform(pool, lock, mode)?;
            run.lead(pool, &mut upgraded, mode)?;
            Ok(upgraded)
        },
    )
}

impl Request {
    /// Returns whether the node is to boot it next, permanently, once or on trial: then it must pass verification.
    fn boots_next(&self) -> bool {
        self.activate || self.how.is_some()
    }
}

struct Run<'a> {
    node: &'a Node,
    source: &'a Environment,
    before: EnvRecord,
    /// What its boot files must contain, by the current properties.
    wanted: Wanted,
    /// The environment that the node boots after it, if it is booted once or on trial.
    back_to: Option<Environment>,
    /// The source's `cmdline.txt`, read before: the source may be destroyed meanwhile.
    command_line: Option<String>,
    name: EnvName,
    steps: Vec<Step>,
    downloads: Option<Downloads>,
    /// Whether the user gave the command: its result is kept even if nothing changed.
    commanded: bool,
    durable: Durable,
    network: Network,
    request: &'a Request,
}

impl<'a> Run<'a> {
    fn plan(
        pool: &Pool,
        node: &'a Node,
        source: &'a Environment,
        request: &'a Request,
        read: Option<(Vec<Step>, Option<Downloads>)>,
    ) -> Result<Self> {
        let back_to = request
            .how
            .map(|_| trial::back_to(pool, node))
            .transpose()?;
        source.require_sound()?;
        let target = Operand {
            node: node.name.clone(),
            env: request.name.clone(),
        };
        let name =
            staged::free_name(pool, Some(node), &target).map_err(|e| match request.activate {
                true => activate_new::to_activate(e, Some(node), &target),
                false => e,
            })?;
        let network = program::network(pool, node)?;
        network.check()?;
        let (steps, downloads) = match read {
            Some(read) => read,
            None => program::commands_of(pool, node, source, request)?,
        };
        let before = source.record_for_change()?;
        Ok(Self {
            node,
            source,
            wanted: Wanted::new(pool, &node.name, &node.record, &name, &before.off_disk())?,
            before,
            back_to,
            command_line: result::command_line(source)?,
            name,
            commanded: !request.command.is_empty(),
            durable: program::durable(pool, node),
            network,
            steps,
            downloads,
            request,
        })
    }

    fn target_in<'t>(&'t self, pool: &'t Pool) -> Target<'t> {
        Target {
            pool,
            node: &self.node.name,
            record: &self.node.record,
            env: &self.name,
            boots_next: self.request.boots_next(),
        }
    }

    fn target(&self) -> EnvId {
        EnvId::new(&self.node.name, &self.name)
    }

    fn steps(&self) -> Vec<String> {
        let target = self.target();
        let mut steps = vec![format!(
            "snapshot both halves of {} as {target}",
            self.source
        )];
        steps.extend(
            self.steps
                .iter()
                .map(|s| format!("run in it: {}", s.argv.join(" "))),
        );
        steps.push(format!(
            "put the boot files and fstab of {target} right, and verify it"
        ));
        steps.extend(self.as_it_is());
        if self.request.activate {
            steps.push(format!("activate {target}"));
        }
        if let Some(back_to) = &self.back_to {
            let node = &self.node.name;
            steps.push(format!(
                "lead {node} to {target} for its next boot, then to {back_to}"
            ));
        }
        steps
    }

    fn perform(&self, pool: &Pool, lock: NodeLock, mode: Mode) -> Result<Upgraded> {
        let mut staged = StagedEnvironment::in_node(self.target_in(pool), self.node)?;
        let mut notes = staged.snapshot(self.source)?;
        let is_image = self.before.image.is_some();
        if !is_image {
            origin_texts::keep(&staged)?;
        }
        // Without the node's lock: the command may take an hour.
        let _name_stays = pool.lock_env(&lock, &self.name)?;
        drop(lock);
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
        let package_notes = match self.run_commands(pool, &staged, data.bounds()) {
            Ok(ran) => {
                notes.extend(ran.notes);
                notes.extend(data.note());
                ran.package_notes
            }
            Err(failed) => {
                files.map(Opened::close).transpose()?;
                return Err(self.failed(pool, staged, &failed, mode)?.into());
            }
        };
        interrupt::check()?;
        let changes = match (old, installed(&root)?) {
            (Ok(old), Ok(new)) => Some(packages::changes(&old, &new)),
            (_, Err(unread)) | (Err(unread), _) => {
                notes.push(format!("the changed packages are not known: {unread}"));
                None
            }
        };
        let new_modules = changed::servers_modules(&root).filter(|_| !had_servers);
        files.map(Opened::close).transpose()?;
        if let Some(before) = before
            && changes.as_ref().is_none_or(Changes::is_empty)
        {
            let changed = before.changed(&staged, &self.before)?;
            if changed.is_empty() {
                let source = self.source.id();
                return Ok(Upgraded::NothingToDo {
                    source,
                    package_notes,
                });
            }
            if changes.is_some() {
                notes.push(changed::files_alone(&changed));
            }
        }
        if let Some(path) = new_modules {
            notes.push(format!(
                "the run wrote {path}: modules for this server's kernel, which no machine boots by that"
            ));
        }
        notes.extend(snapshot::flatten_within(&root)?);
        // Before the lock, since it may take long. A later refusal makes it useless, which is rare.
        let (shared, mut warnings) = match is_image {
            // Blocks of an image that were not written are still shared.
            true => (None, Vec::new()),
            false => reshare::share_again(self.source, staged.dir())?,
        };
        let (lock, mut complete) = match self.completed(pool, &mut staged, changes.clone(), mode) {
            Ok(completed) => completed,
            // Such as a missing kernel: the command's output tells why.
            Err(failed) => return Err(self.failed(pool, staged, &failed, mode)?.into()),
        };
        complete.record.shared = shared;
        let would_boot = complete.record.would_not_boot.is_empty();
        let mut made = staged.publish(&lock, complete)?;
        notes.append(&mut made.notes);
        let id = self.target();
        notes.extend(changed::left_outside(self.node, changes.as_ref(), &id));
        warnings.append(&mut made.warnings);
        if self.request.activate {
            let (node, env) = (&self.node.name, &self.name);
            warnings.extend(activate_new::activate(pool, &lock, node, env, &made, mode)?);
        } else if self.request.how.is_none() {
            let env = self.node.environment(&self.name)?;
            warnings.extend(left_behind::warnings(pool, self.node, &env));
        }
        Ok(Upgraded::New {
            id,
            origin: self.source.id(),
            changes,
            shared,
            active: self.request.activate,
            begun: None,
            would_boot,
            log: layout::env(pool.root(), &self.node.name, &self.name).join(LOG),
            package_notes,
            notes,
            warnings,
        })
    }
}
