//! Bringing a system in as an environment: `import`.
//!
//! Unpacked into a stage, found to be a system with a kernel, made to name itself, published by one
//! rename. A node that does not exist becomes a template, and the environment its active one. Its identity
//! is what it brings; what is made from it for another node gets one of its own. What another netbe has
//! sent goes by the same way (`receiving`), save that it knows which node it is of.

mod stream;
pub mod unpack;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::staged::{Content, Identity, StagedEnvironment, Target};
use super::{Mode, Outcome, create};
use crate::btrfs::subvolume;
use crate::failure::{Failure, hinted};
use crate::fs::interrupt;
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvId, EnvName, Node, NodeLock, NodeName, Operand, Pool, stage};
use stream::Sent;
use unpack::{Halves, Opened, Progress, Source};

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The environment to make; without a name it gets one made of the time.
    pub target: Operand,
    /// What to bring in.
    pub source: Source,
    /// Where the boot half is, if not in the source.
    pub boot: Option<PathBuf>,
    /// Whose code reads the filesystems of a disk image.
    pub driver: unpack::Driver,
    /// The node whose environments a stream of changes may rest on; without it the one that gets it.
    pub base: Option<NodeName>,
    /// What to say of it.
    pub description: String,
}

impl Request {
    /// Returns the node whose environments a stream of changes may rest on.
    pub(super) fn base_node(&self) -> &NodeName {
        self.base.as_ref().unwrap_or(&self.target.node)
    }
}

/// What was unpacked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Which it is.
    pub id: EnvId,
    /// What its node is, where it is new.
    pub new_node: Option<NewNode>,
    /// The kernel it brings, where its version is known.
    pub kernel: Option<String>,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// What a node is that came with its first environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewNode {
    /// There to make others from.
    Template,
    /// One that machines boot, once it has a name they ask by.
    Booted,
}

/// Brings a system in.
pub fn import(
    pool: &Pool,
    request: &Request,
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<Outcome<Imported>> {
    let node_now = || match pool.node(&request.target.node) {
        Ok(node) => {
            node.refuse_lost()?;
            Ok(Some(node))
        }
        Err(e) if create::is_not_found(&e) => Ok(None),
        Err(e) => Err(e),
    };
    let existing = node_now()?;
    if request.target.env.is_some() {
        // Before anything is waited for on a pipe.
        create::free_name(pool, existing.as_ref(), &request.target)?;
    }
    // Without a lock: somebody else's program may be at the other end.
    let arrived = Arrived::open(request)?;
    let lock = mode.lock(pool, &request.target.node)?;
    let existing = node_now()?;
    if existing.is_none() {
        pool.refuse_work_in(&request.target.node, Duration::ZERO)?;
    }
    let env = arrived.name(pool, existing.as_ref(), &request.target)?;
    let id = EnvId::new(&request.target.node, &env);
    let new_node = existing.is_none().then(|| arrived.new_node());
    let Some(lock) = lock else {
        let steps = steps(pool, request, &arrived, new_node, &id)?;
        return Ok(Outcome::Planned(steps));
    };
    let record = match &existing {
        Some(node) => node.record.clone(),
        None => NodeRecord::new(new_node == Some(NewNode::Template)),
    };
    let target = Target {
        pool,
        node: &request.target.node,
        record: &record,
        env: &env,
        boots_next: existing.is_none(),
    };
    let mut made = make(
        request,
        arrived,
        target,
        existing.as_ref(),
        (lock, mode),
        progress,
    )?;
    if new_node == Some(NewNode::Booted) {
        made.warnings
            .push(create::not_asked_for(&request.target.node));
    }
    Ok(Outcome::Done(Imported { new_node, ..made }))
}

/// What is to be unpacked in, as far as it was looked at.
enum Arrived {
    /// A system.
    System(Opened),
    /// What another netbe has sent.
    Sent(Box<Sent>),
}

impl Arrived {
    fn open(request: &Request) -> Result<Self> {
        Ok(match unpack::open(&request.source)? {
            Opened::Input(input) if input.is_stream() => {
                if request.boot.is_some() {
                    return Err(Failure::usage(
                        "a stream holds both halves: --boot is for other sources",
                    )
                    .into());
                }
                let sent = Sent::open(input)?;
                if request.base.is_some() && sent.header.since.is_none() {
                    return Err(Failure::usage(
                        "the stream is whole: --base is for one of what changed since",
                    )
                    .into());
                }
                Self::Sent(Box::new(sent))
            }
            _ if request.base.is_some() => {
                return Err(Failure::usage("--base is for a stream of what changed since").into());
            }
            opened => Self::System(opened),
        })
    }

    /// Returns the name the environment gets: a stream's is the one it had, where that is free.
    fn name(&self, pool: &Pool, node: Option<&Node>, target: &Operand) -> Result<EnvName> {
        if let (Self::Sent(sent), None) = (self, &target.env) {
            let named = Operand {
                node: target.node.clone(),
                env: Some(sent.header.names()?.1),
            };
            if let Ok(name) = create::free_name(pool, node, &named) {
                return Ok(name);
            }
        }
        create::free_name(pool, node, target)
    }

    /// Returns what a node is that is made for it.
    fn new_node(&self) -> NewNode {
        match self {
            Self::Sent(sent) if !sent.header.template => NewNode::Booted,
            _ => NewNode::Template,
        }
    }

    /// Makes the halves what arrives; returns what they are, and what is to be known of them besides.
    fn fill(
        self,
        pool: &Pool,
        request: &Request,
        staged: &StagedEnvironment,
        progress: &mut dyn Progress,
    ) -> Result<(Content, Vec<String>)> {
        match self {
            Self::System(opened) => fill(request, opened, staged, progress),
            Self::Sent(sent) => Ok((sent.fill(pool, request, staged, progress)?, Vec::new())),
        }
    }
}

fn steps(
    pool: &Pool,
    request: &Request,
    arrived: &Arrived,
    new_node: Option<NewNode>,
    name: &EnvId,
) -> Result<Vec<String>> {
    let mut steps = Vec::new();
    match new_node {
        Some(NewNode::Template) => steps.push(format!("make template {}", request.target.node)),
        Some(NewNode::Booted) => steps.push(format!("make node {}", request.target.node)),
        None => {}
    }
    match arrived {
        Arrived::System(opened) => {
            opened.foresee()?;
            steps.push(format!("unpack the source as {name}"));
        }
        Arrived::Sent(sent) => {
            steps.push(sent.step(pool, request, name)?);
            if sent.header.node != request.target.node.as_str() {
                steps.push(format!("give {name} an identity of its own"));
            }
        }
    }
    steps.push(format!("write the boot files and fstab of {name}"));
    Ok(steps)
}

fn make(
    request: &Request,
    arrived: Arrived,
    target: Target<'_>,
    node: Option<&Node>,
    (lock, mode): (NodeLock, Mode),
    progress: &mut dyn Progress,
) -> Result<Imported> {
    let mut staged = match node {
        Some(node) => StagedEnvironment::in_node(target, node)?,
        None => StagedEnvironment::with_node(target)?,
    };
    // It takes as long as what sends it: the node is not kept from others.
    let _name_stays = target.pool.lock_env(&lock, target.env)?;
    drop(lock);
    let (content, mut notes) = arrived.fill(target.pool, request, &staged, progress)?;
    let lock = mode.lock_again(target.pool, target.node)?;
    staged.look_again(&lock)?;
    progress.phase("Writing boot files");
    let complete = staged.complete(content).map_err(|e| {
        hinted(e, || {
            format!(
                "nothing was made; beside what another environment of {0} boots it may be there: netbe create {0}, then import {0}/ENV",
                target.node
            )
        })
    })?;
    let kernel = complete.record.kernel.as_ref().map(|k| k.version.clone());
    progress.phase("Making it durable");
    let made = staged.publish(&lock, complete)?;
    notes.extend(made.notes);
    Ok(Imported {
        id: EnvId::new(target.node, target.env),
        new_node: None,
        kernel,
        notes,
        warnings: made.warnings,
    })
}

/// Makes the halves what an operating system brings.
fn fill(
    request: &Request,
    opened: Opened,
    staged: &StagedEnvironment,
    progress: &mut dyn Progress,
) -> Result<(Content, Vec<String>)> {
    let (root, boot, scratch) = (staged.root(), staged.boot(), staged.dir().join("scratch"));
    subvolume::create(&root)?;
    subvolume::create(&boot)?;
    std::fs::create_dir(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let halves = Halves {
        root: &root,
        boot: &boot,
        scratch: &scratch,
    };
    let boot_dir = request.boot.as_deref();
    let unpacked = unpack::unpack(opened, boot_dir, &halves, request.driver, progress)?;
    interrupt::check()?;
    stage::remove(&scratch)?;
    let mut record = EnvRecord::new(staged.uuid()?, Timestamp::now(), unpacked.boot_mount);
    record.description.clone_from(&request.description);
    let content = Content {
        before: record.clone(),
        record,
        identity: Identity::Same,
    };
    Ok((content, unpacked.notes))
}
