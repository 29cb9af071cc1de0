//! Makes an environment, in the same order for every command: halves, identity, boot files and fstab, verification,
//! record, one rename.
//!
//! The caller fills the halves and describes their content. Promises that an environment is complete or absent; that an
//! environment to be booted next was verified; and that the record of any other one that would not boot has the reasons.
//! Not for activating it.

mod current;
mod data;
mod new_node;
mod order;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

pub use self::new_node::Bootable;
pub(super) use self::new_node::{directory_in, point_to};
use super::verified::{Verified, refuse_unbootable};
use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::stage::Staged;
use crate::pool::{
    EnvId, EnvName, Environment, Node, NodeLock, NodeName, Pool, layout, publish_node,
};
use crate::publish::local;
use crate::staged::boot_config::{self, Wanted};
use crate::staged::{Identity, identity, root_image, snapshot};

/// The environment to make.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its pool.
    pub pool: &'a Pool,
    /// Its node, which need not exist yet.
    pub node: &'a NodeName,
    /// The node's record.
    pub record: &'a NodeRecord,
    /// Its name.
    pub env: &'a EnvName,
    /// Whether its node boots it next: then it must pass verification.
    pub boots_next: bool,
}

impl Target<'_> {
    fn id(&self) -> EnvId {
        EnvId::new(self.node, self.env)
    }

    /// Refuses a source if [`StagedEnvironment::complete`] would refuse a copy of its halves, without making the copy: for
    /// a dry run.
    pub fn foresee(&self, source: &Environment, before: &EnvRecord) -> Result<()> {
        let becomes = root_image::becomes(self.pool, self.record, before)?;
        let wanted = Wanted::new(self.pool, self.node, self.record, self.env, &becomes)?;
        let _files = source.show_files()?;
        let reasons = wanted.reasons_once_written(&source.root(), &source.boot())?;
        self.refuse(&reasons)
    }

    fn refuse(&self, reasons: &[String]) -> Result<()> {
        match self.boots_next && !self.record.template {
            true => refuse_unbootable(&self.id(), reasons),
            false => Ok(()),
        }
    }
}

/// The content of the halves.
#[derive(Debug)]
pub struct Content {
    /// The record; kernel, arguments and the reasons against booting it are set here.
    pub record: EnvRecord,
    /// The record of the source, by which netbe's arguments in the boot files are recognised; without a source its own.
    pub before: EnvRecord,
    /// The machine that they belong to.
    pub identity: Identity,
}

/// An environment whose halves are being filled, under a hidden name; deleted when dropped.
#[derive(Debug)]
pub struct StagedEnvironment {
    pool: Pool,
    node: NodeName,
    /// The node's record, as last read.
    record: NodeRecord,
    env: EnvName,
    boots_next: bool,
    dir: PathBuf,
    home: Home,
    /// The command line of the running system, if this is a copy of that.
    started_with: Option<String>,
}

/// Where the directory is staged.
#[derive(Debug)]
pub(super) enum Home {
    /// A stage in its node's directory.
    Node(Staged),
    /// A new node with this environment.
    NewNode(Staged),
    /// A new node with several environments: [`StagedNode`].
    Shared,
}

/// An environment that is complete, and not published yet.
#[derive(Debug)]
pub struct Complete {
    dir: PathBuf,
    verified: bool,
    /// The properties that it was completed by.
    by: String,
    /// The warning that its time of creation contradicts the order of creation.
    clock: Option<String>,
    /// Its record, written when it is published.
    pub record: EnvRecord,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// A published environment.
#[derive(Debug)]
pub struct Made {
    node: NodeName,
    env: EnvName,
    verified: bool,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

impl StagedEnvironment {
    /// Begins an environment of an existing node.
    pub fn in_node(target: Target<'_>, node: &Node) -> Result<Self> {
        let stage = Staged::new(&node.dir, target.env.as_str())?;
        let dir = stage.path().to_path_buf();
        Ok(Self::new(target, dir, Home::Node(stage)))
    }

    /// Begins the first environment of a new node, which becomes active.
    pub fn with_node(target: Target<'_>) -> Result<Self> {
        let stage = Staged::new(&layout::nodes(target.pool.root()), target.node.as_str())?;
        let dir = directory_in(&stage, target.env)?;
        Ok(Self::new(target, dir, Home::NewNode(stage)))
    }

    pub(super) fn new(target: Target<'_>, dir: PathBuf, home: Home) -> Self {
        Self {
            pool: target.pool.clone(),
            node: target.node.clone(),
            record: target.record.clone(),
            env: target.env.clone(),
            boots_next: target.boots_next,
            dir,
            home,
            started_with: None,
        }
    }

    /// Marks it as a copy of the running system, which was started with this command line.
    #[must_use]
    pub fn of_running(mut self, cmdline: String) -> Self {
        self.started_with = Some(cmdline);
        self
    }

    fn target(&self) -> Target<'_> {
        Target {
            pool: &self.pool,
            node: &self.node,
            record: &self.record,
            env: &self.env,
            boots_next: self.boots_next,
        }
    }

    /// Returns the directory of the halves.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of the root half.
    pub fn root(&self) -> PathBuf {
        self.dir.join(layout::ROOT)
    }

    /// Returns the path of the boot half.
    pub fn boot(&self) -> PathBuf {
        self.dir.join(layout::BOOT)
    }

    /// Makes the halves snapshots of those of an environment; returns notes, a sentence each.
    pub fn snapshot(&self, source: &Environment) -> Result<Vec<String>> {
        snapshot::snapshot(source, &self.dir)
    }

    /// Returns the identity of a new environment with these halves: the UUID of its root subvolume.
    pub fn uuid(&self) -> Result<String> {
        Ok(subvolume::info(&self.root())?.uuid.to_string())
    }

    /// Writes identity, boot files and fstab for the target's node, and verifies the halves.
    ///
    /// # Errors
    /// A refusal if they would not boot and [`Target::boots_next`] is set.
    pub fn complete(&self, content: Content) -> Result<Complete> {
        let (pool, node, record) = (&self.pool, &self.node, &self.record);
        let (root, boot) = (self.root(), self.boot());
        let mut notes = Vec::new();
        let image = root_image::wanted(pool, record, &content.before)?;
        let half = root_image::RootImage::open(&root, &content.before, image.as_ref())?;
        match content.identity {
            Identity::Same => {}
            Identity::OldName => identity::rename_host(&root, node)?,
            Identity::Other => notes.extend(identity::reset(&root, &boot, node, None)?),
            Identity::Kept(own) => notes.extend(identity::reset(&root, &boot, node, Some(&own))?),
        }
        let mut env_record = content.record;
        env_record.image = image;
        let before = content.before.with_root_of(&env_record);
        let wanted = Wanted::new(pool, node, record, &self.env, &before)?;
        let wanted = wanted.started_with(self.started_with.clone());
        notes.extend(boot_config::write(&wanted, &root, &boot, &mut env_record)?);
        let reasons = wanted.reasons_to_record(&root, &boot)?;
        self.target().refuse(&reasons)?;
        half.close(&root)?;
        let warnings: Vec<String> = reasons
            .iter()
            .map(|reason| format!("it would not boot: {reason}"))
            .collect();
        // No machine boots a template.
        let verified = reasons.is_empty() || record.template;
        env_record.would_not_boot = reasons;
        self.number(&mut env_record, &content.before)?;
        Ok(Complete {
            dir: self.dir.clone(),
            verified,
            by: current::properties(pool, record)?,
            clock: order::clock_behind(&env_record, &content.before),
            record: env_record,
            notes,
            warnings,
        })
    }

    /// Completes halves in which a command failed, for inspection: they are never booted without an explicit operand.
    pub fn complete_failed(&self, content: Content, why: String) -> Result<Complete> {
        let (pool, node, record) = (&self.pool, &self.node, &self.record);
        let mut own = content.record;
        own.image.clone_from(&content.before.image);
        // The halves are kept even if their boot files cannot be written.
        let before = content.before.with_root_of(&own);
        let half = root_image::RootImage::open(&self.root(), &content.before, own.image.as_ref());
        let _ = Wanted::new(pool, node, record, &self.env, &before)
            .and_then(|wanted| boot_config::write(&wanted, &self.root(), &self.boot(), &mut own));
        half.and_then(|half| half.close(&self.root())).ok();
        own.failed = Some(why);
        self.number(&mut own, &content.before)?;
        Ok(Complete {
            dir: self.dir.clone(),
            verified: false,
            by: current::properties(pool, record)?,
            clock: None,
            record: own,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Writes the record and publishes the environment by one rename; durable when it returns.
    pub fn publish(self, lock: &NodeLock, complete: Complete) -> Result<Made> {
        lock.ensure_protects(&self.node)?;
        complete.write(&self)?;
        let active = complete.bootable(&self);
        let (pool, node, env) = (&self.pool, &self.node, &self.env);
        match self.home {
            Home::Node(stage) => stage.publish(&layout::env(pool.root(), node, env))?,
            Home::NewNode(stage) => {
                point_to(&stage, node, &active?)?;
                publish_node(pool, lock, node, &self.record, stage)?;
            }
            Home::Shared => anyhow::bail!("{node}/{env} comes with its node"),
        }
        let mut warnings = complete.warnings;
        warnings.extend(complete.clock);
        warnings.extend(local::offer_new(pool));
        Ok(Made {
            node: self.node,
            env: self.env,
            verified: complete.verified,
            notes: complete.notes,
            warnings,
        })
    }
}

impl Complete {
    /// Writes the record.
    pub(super) fn write(&self, of: &StagedEnvironment) -> Result<()> {
        ensure!(self.dir == of.dir, "another environment was completed");
        let key = of.pool.key();
        self.record.store(&self.dir, key, Durable::WithNextSync)
    }
}

impl Made {
    /// Returns the environment as verified.
    ///
    /// # Errors
    /// Unless [`Target::boots_next`] was set.
    pub fn verified<'e>(&self, env: &'e Environment) -> Result<Verified<'e>> {
        ensure!(
            self.verified && (&self.node, &self.env) == (&env.node, &env.name),
            "{env} was not verified"
        );
        Ok(Verified::just_made(env))
    }
}
