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
mod steps;

use std::path::PathBuf;

use anyhow::Result;

use self::steps::Upgrading;
use super::trial::{self, Begun, How};
use super::{Mode, Outcome, activate_new, lent};
use crate::packages::{Changes, Downloads, Step};
use crate::pool::layout::UPGRADE_LOG as LOG;
use crate::pool::record::{EnvRecord, Shared};
use crate::pool::{EnvId, EnvName, Environment, Node, Operand, Pool};
use crate::sandbox::{Durable, Network};
use crate::staged;
use crate::staged::Target;
use crate::staged::boot_config::Wanted;

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
    match run.steps(pool, mode).carry_out(lock.map(Upgrading::new))? {
        Outcome::Planned(steps) => Ok(Outcome::Planned(steps)),
        Outcome::Done(upgrading) => upgrading.result().map(Outcome::Done),
    }
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
}
