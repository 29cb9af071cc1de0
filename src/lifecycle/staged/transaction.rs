//! Making an environment, in one order whoever makes it: halves, identity, boot files and fstab, verification, record,
//! one rename.
//!
//! The maker says where the halves come from and what they were; the rest is done here. Promises that an environment is
//! whole or not there; that what a node boots next would boot; and that anything else that would not says so in its
//! record. Not for leading a node to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::verified::{Verified, would_not_boot};
use crate::btrfs::subvolume;
use crate::fs::atomic::{self, Durable};
use crate::lifecycle::staged::boot_config::{self, Wanted};
use crate::lifecycle::staged::{identity, snapshot};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::stage::Staged;
use crate::pool::{
    EnvId, EnvName, Environment, Node, NodeLock, NodeName, Pool, layout, publish_node,
};

/// What an environment is to be.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its pool.
    pub pool: &'a Pool,
    /// Its node, which need not be there yet.
    pub node: &'a NodeName,
    /// That node's record.
    pub record: &'a NodeRecord,
    /// Its name.
    pub env: &'a EnvName,
    /// Whether its node is to boot it next: then it must verify.
    pub boots_next: bool,
}

impl Target<'_> {
    fn id(&self) -> EnvId {
        EnvId::new(self.node, self.env)
    }

    /// Refuses what [`StagedEnvironment::complete`] would refuse of copies of these halves, without making any: for a dry
    /// run.
    pub fn foresee(&self, source: &Environment, before: &EnvRecord) -> Result<()> {
        let wanted = Wanted::new(self.pool, self.node, self.record, self.env, before)?;
        let reasons = wanted.reasons_once_written(&source.root(), &source.boot())?;
        self.refuse(&reasons)
    }

    fn refuse(&self, reasons: &[String]) -> Result<()> {
        match self.boots_next && !self.record.template && !reasons.is_empty() {
            true => Err(would_not_boot(&self.id(), reasons).into()),
            false => Ok(()),
        }
    }
}

/// Which machine the halves are of, once they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The target's.
    Same,
    /// The target's, by the host name it had before.
    OldName,
    /// Another one's.
    Other,
}

/// What the halves are.
#[derive(Debug)]
pub struct Content {
    /// The record, but for what is written here: boot files, kernel, what speaks against booting it.
    pub record: EnvRecord,
    /// The record of what they were made from, by which their boot files are told; its own where there is none.
    pub before: EnvRecord,
    /// Which machine's they are.
    pub identity: Identity,
}

/// An environment whose halves are being filled, under a hidden name; gone when it is dropped.
#[derive(Debug)]
pub struct StagedEnvironment {
    pool: Pool,
    node: NodeName,
    /// The node's record, as it was last looked at.
    record: NodeRecord,
    env: EnvName,
    boots_next: bool,
    dir: PathBuf,
    home: Home,
}

/// What holds the directory.
#[derive(Debug)]
pub(super) enum Home {
    /// A stage in its node's directory.
    Node(Staged),
    /// A node that is made with it.
    NewNode(Staged),
    /// A node that is made with several: [`StagedNode`].
    Shared,
}

/// What is complete but for its name.
#[derive(Debug)]
pub struct Complete {
    dir: PathBuf,
    verified: bool,
    /// Its record, which is written as it gets its name.
    pub record: EnvRecord,
    /// What a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// What has got its name.
#[derive(Debug)]
pub struct Made {
    node: NodeName,
    env: EnvName,
    verified: bool,
    /// What a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

impl StagedEnvironment {
    /// Begins one of a node that is there.
    pub fn in_node(target: Target<'_>, node: &Node) -> Result<Self> {
        let stage = Staged::new(&node.dir, target.env.as_str())?;
        let dir = stage.path().to_path_buf();
        Ok(Self::new(target, dir, Home::Node(stage)))
    }

    /// Begins the first one of a new node, which is its active one.
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
        }
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

    /// Looks at the properties again that the halves are to go by: the node may have been changed since it was begun.
    pub fn look_again(&mut self, lock: &NodeLock) -> Result<()> {
        lock.ensure_protects(&self.node)?;
        self.pool = self.pool.again()?;
        if matches!(self.home, Home::Node(_)) {
            let node = self.pool.node(&self.node)?;
            node.refuse_lost()?;
            self.record = node.record;
        }
        Ok(())
    }

    /// Returns the directory that the halves go into.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns where the root half goes.
    pub fn root(&self) -> PathBuf {
        self.dir.join(layout::ROOT)
    }

    /// Returns where the boot half goes.
    pub fn boot(&self) -> PathBuf {
        self.dir.join(layout::BOOT)
    }

    /// Fills the halves with those of an environment; returns notes, a sentence each.
    pub fn snapshot(&self, source: &Environment) -> Result<Vec<String>> {
        snapshot::snapshot(source, &self.dir)
    }

    /// Returns the identity that an environment with these halves has, unless it is one that had it elsewhere.
    pub fn uuid(&self) -> Result<String> {
        Ok(subvolume::info(&self.root())?.uuid.to_string())
    }

    /// Notes its place in the order in which environments were made; one under a new name keeps its own.
    fn number(&self, record: &mut EnvRecord) -> Result<()> {
        if record.replaces.is_none() {
            record.number = Some(subvolume::info(&self.root())?.id);
        }
        Ok(())
    }

    /// Makes the halves those of the target, and verifies them.
    ///
    /// # Errors
    /// A refusal where they would not boot and are to be booted next.
    pub fn complete(&self, content: Content) -> Result<Complete> {
        let (pool, node, record) = (&self.pool, &self.node, &self.record);
        let (root, boot) = (self.root(), self.boot());
        let mut notes = Vec::new();
        match content.identity {
            Identity::Same => {}
            Identity::OldName => identity::rename_host(&root, node)?,
            Identity::Other => notes.extend(identity::reset(&root, &boot, node)?),
        }
        let mut own = content.record;
        let wanted = Wanted::new(pool, node, record, &self.env, &content.before)?;
        notes.extend(boot_config::write(&wanted, &root, &boot, &mut own)?);
        let reasons = wanted.reasons_against(&root, &boot)?;
        self.target().refuse(&reasons)?;
        let mut warnings: Vec<String> = reasons
            .iter()
            .map(|reason| format!("it would not boot: {reason}"))
            .collect();
        // A template's is booted by nobody.
        let verified = reasons.is_empty() || record.template;
        own.would_not_boot = reasons;
        self.number(&mut own)?;
        warnings.extend(clock_behind(&own, &content.before));
        Ok(Complete {
            dir: self.dir.clone(),
            verified,
            record: own,
            notes,
            warnings,
        })
    }

    /// Keeps halves in which something failed, to be looked at: never to be booted unasked, whatever could be put right.
    pub fn complete_failed(&self, content: Content, why: String) -> Result<Complete> {
        let (pool, node, record) = (&self.pool, &self.node, &self.record);
        let mut own = content.record;
        // What cannot be put right is still what was to be kept.
        let _ = Wanted::new(pool, node, record, &self.env, &content.before)
            .and_then(|wanted| boot_config::write(&wanted, &self.root(), &self.boot(), &mut own));
        own.failed = Some(why);
        self.number(&mut own)?;
        Ok(Complete {
            dir: self.dir.clone(),
            verified: false,
            record: own,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Writes the record and gives it its name, by one rename; durable when it returns.
    pub fn publish(self, lock: &NodeLock, complete: Complete) -> Result<Made> {
        lock.ensure_protects(&self.node)?;
        complete.write(&self)?;
        let (pool, node, env) = (&self.pool, &self.node, &self.env);
        match self.home {
            Home::Node(stage) => stage.publish(&layout::env(pool.root(), node, env))?,
            Home::NewNode(stage) => {
                point_to(&stage, node, env)?;
                publish_node(pool, lock, node, &self.record, stage)?;
            }
            Home::Shared => anyhow::bail!("{node}/{env} comes with its node"),
        }
        Ok(Made {
            node: self.node,
            env: self.env,
            verified: complete.verified,
            notes: complete.notes,
            warnings: complete.warnings,
        })
    }
}

impl Complete {
    /// Writes its record into its directory.
    pub(super) fn write(&self, of: &StagedEnvironment) -> Result<()> {
        ensure!(self.dir == of.dir, "another environment was completed");
        let key = of.pool.key();
        self.record.store(&self.dir, key, Durable::WithNextSync)
    }
}

impl Made {
    /// Returns the environment, as one that its node may be led to.
    ///
    /// # Errors
    /// Where it was not made to be: [`Target::boots_next`].
    pub fn verified<'e>(&self, env: &'e Environment) -> Result<Verified<'e>> {
        ensure!(
            self.verified && (&self.node, &self.env) == (&env.node, &env.name),
            "{env} was not verified"
        );
        Ok(Verified::just_made(env))
    }
}

/// Returns a warning where the server's clock contradicts the order in which two were made.
fn clock_behind(made: &EnvRecord, before: &EnvRecord) -> Option<String> {
    (made.created < before.created).then(|| {
        format!(
            "the clock of this server says {:.0}, earlier than the creation of the origin ({:.0}): check the clock; \
             netbe takes for the newest environment the one that was made last",
            made.created, before.created
        )
    })
}

/// Makes the directory of an environment in the stage of its node.
pub(super) fn directory_in(stage: &Staged, env: &EnvName) -> Result<PathBuf> {
    let dir = stage.path().join(layout::ENVS).join(env.as_str());
    atomic::directories(&dir)?;
    Ok(dir)
}

/// Makes the link of a node in a stage to what it boots next.
pub(super) fn point_to(stage: &Staged, node: &NodeName, env: &EnvName) -> Result<()> {
    let link = stage.path().join(layout::ACTIVE);
    std::os::unix::fs::symlink(layout::active_target(env), link)
        .with_context(|| format!("activating {node}/{env}"))
}
