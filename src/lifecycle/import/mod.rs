//! Importing a system as an environment: `import`.
//!
//! The source is unpacked into a stage, checked for a system with a kernel, gets boot files and fstab, and is published by one
//! rename. A node that does not exist becomes a template, with the environment active. The environment keeps the
//! identity in the source. Streams of `export` (`stream`) are handled likewise, with the node that they contain.

mod arrived;
mod data;
mod imported;
mod stream;
pub mod unpack;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::data::list;
use super::plan::Plan;
use super::{Mode, Outcome, create, local};
use crate::failure::{self, Failure, Kind};
use crate::pool::lock::EnvLock;
use crate::pool::record::NodeRecord;
use crate::pool::{EnvId, Node, NodeLock, NodeName, Operand, Pool};
use crate::staged::{self, Content, Identity, StagedEnvironment, Target};
use arrived::Arrived;
use data::Received;
use imported::still_made_from;
pub use imported::{Imported, NewNode};
use unpack::{Progress, Source};

/// The request.
#[derive(Debug)]
pub struct Request {
    /// The environment to make; without a name, the name is the current time.
    pub target: Operand,
    /// The source.
    pub source: Source,
    /// The directory of the boot half, if it is not in the source.
    pub boot: Option<PathBuf>,
    /// The reader of the filesystems of a disk image.
    pub driver: unpack::Driver,
    /// The node with the base of an incremental stream; without it, the target's.
    pub base: Option<NodeName>,
    /// Whether the data in a stream becomes that of the target's node.
    pub data: bool,
    /// The description.
    pub description: String,
}

impl Request {
    /// Returns the node with the base of an incremental stream.
    pub(super) fn base_node(&self) -> &NodeName {
        self.base.as_ref().unwrap_or(&self.target.node)
    }
}

/// Imports a system; also returns the failures of other environments of its node that do not mount the imported data, or
/// would not.
pub fn import(
    pool: &Pool,
    request: &Request,
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<(Outcome<Imported>, Vec<anyhow::Error>)> {
    import_or_refuse(pool, request, progress, mode).map_err(|mut error| {
        // The reader of a source does not know the name of the target.
        if let Some(failure) = error.downcast_mut::<Failure>() {
            let named = |hint: String| {
                ["netbe import", "--kernel-driver"]
                    .iter()
                    .fold(hint, |hint, word| {
                        let with = format!("{word} {}", request.target.node);
                        hint.replace(&format!("{word} NODE"), &with)
                    })
            };
            match failure.hint.take().map(named) {
                Some(hint)
                    if hint
                        .split(|c: char| !c.is_ascii_uppercase())
                        .any(is_placeholder) =>
                {
                    failure.message.push_str(&format!("; {hint}"));
                }
                hint => failure.hint = hint,
            }
        }
        error
    })
}

/// Returns whether a word of a hint is a placeholder: the hint is then no command to paste.
fn is_placeholder(word: &str) -> bool {
    [
        "FILE",
        "IMAGE",
        "SUITE",
        "DISK",
        "PARTITION",
        "ROOT",
        "NAME",
        "POOL",
        "NODE",
    ]
    .contains(&word)
}

fn import_or_refuse(
    pool: &Pool,
    request: &Request,
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<(Outcome<Imported>, Vec<anyhow::Error>)> {
    let node_now = || match pool.node(&request.target.node) {
        Ok(node) => {
            node.refuse_lost()?;
            Ok(Some(node))
        }
        Err(e) if failure::is(&e, Kind::NotFound) => Ok(None),
        Err(e) => Err(e),
    };
    let existing = node_now()?;
    if request.target.env.is_some() {
        // Before waiting for data on a pipe.
        staged::free_name(pool, existing.as_ref(), &request.target)?;
    }
    // Without a lock: the process at the other end of the pipe may take any time.
    let arrived = Arrived::open(request)?;
    let lock = mode.lock(pool, &request.target.node)?;
    let existing = node_now()?;
    if existing.is_none() {
        pool.refuse_work_in(&request.target.node, Duration::ZERO)?;
    }
    let env = arrived.name(pool, existing.as_ref(), &request.target)?;
    let id = EnvId::new(&request.target.node, &env);
    let new_node = existing.is_none().then(|| arrived.new_node());
    if new_node == Some(NewNode::Booted) {
        local::refuse(pool, format_args!("{} cannot be made", request.target.node))?;
    }
    let mut offered = arrived.data(request);
    let received = offered.take_out_received(existing.as_ref());
    let there = (!received.is_empty()).then(|| {
        format!(
            "{} has {} from this very stream already; what is there stays",
            request.target.node,
            list(&received)
        )
    });
    let record = match &existing {
        Some(node) => node.record.clone(),
        None => NodeRecord::new(new_node == Some(NewNode::Template)),
    };
    let record = data::record_with(
        pool,
        &request.target.node,
        existing.as_ref(),
        record,
        &offered,
    )?;
    let target = Target {
        pool,
        node: &request.target.node,
        record: &record,
        env: &env,
        boots_next: existing.is_none(),
    };
    let mut plan = Plan::new();
    if let Some(kind) = new_node {
        plan.step(
            format!("make {} {}", kind.word(), target.node),
            |it: &mut Importing| {
                it.staged = Some(StagedEnvironment::with_node(target)?);
                Ok(())
            },
        );
    }
    let is_another = arrived.is_another(target.node);
    let mut receive = vec![arrived.step(pool, request, &id)?];
    receive.extend(data::sentence(target.node, &offered.paths));
    plan.steps(receive, |it| {
        if let Some(node) = &existing {
            it.staged = Some(StagedEnvironment::in_node(target, node)?);
        }
        if !offered.paths.is_empty() {
            let staged = it.staged.as_ref().context("it was not begun")?;
            it.data = Some(Received::new(staged, existing.as_ref(), offered)?);
        }
        it.fill(arrived, target, request)
    });
    if is_another {
        // Without one, what arrives gets an identity of its own.
        let own = |node: &Node| staged::environment_of_identity(node).ok();
        let identity_env = existing.as_ref().and_then(&own);
        let (sentence, _) = Identity::of_node(&id, identity_env.as_ref());
        let id = id.clone();
        plan.step(sentence, move |it| {
            // Again: the node may have got another active environment while the stream was read.
            let node = pool.node(&id.node).ok();
            let identity_env = node.as_ref().and_then(&own);
            let (_, identity) = Identity::of_node(&id, identity_env.as_ref());
            it.content.as_mut().context("it was not filled")?.identity = identity;
            Ok(())
        });
    }
    plan.step(format!("write the boot files and fstab of {id}"), |it| {
        it.complete(target, mode)
    });
    let with = lock.map(|lock| Importing {
        progress,
        locks: (Some(lock), None),
        staged: None,
        content: None,
        data: None,
        done: Imported {
            id,
            new_node,
            kernel: None,
            data: Vec::new(),
            notes: there.into_iter().collect(),
            warnings: Vec::new(),
        },
    });
    let done = plan.carry_out(with)?.map(|it| it.done);
    Ok(match &existing {
        Some(node) if request.data => {
            let record = record.clone();
            let node = Node {
                record,
                ..node.clone()
            };
            data::mount_in_all(pool, &node, done, mode)
        }
        _ => (done, Vec::new()),
    })
}

/// The context of the steps.
struct Importing<'p> {
    progress: &'p mut dyn Progress,
    /// The lock of the node, and the lock of the name while the node is unlocked.
    locks: (Option<NodeLock>, Option<EnvLock>),
    staged: Option<StagedEnvironment>,
    content: Option<Content>,
    data: Option<Received>,
    done: Imported,
}

impl Importing<'_> {
    fn fill(&mut self, arrived: Arrived, target: Target<'_>, request: &Request) -> Result<()> {
        let staged = self.staged.as_ref().context("it was not begun")?;
        // The node is unlocked while the stream is read, which may take any time.
        let lock = self.locks.0.take().context("its node is not locked")?;
        self.locks.1 = Some(target.pool.lock_env(&lock, target.env)?);
        drop(lock);
        let (content, notes) = arrived.fill(
            target.pool,
            request,
            staged,
            self.data.as_ref(),
            self.progress,
        )?;
        self.content = Some(content);
        // The verification does not know the environment's name.
        let id = self.done.id.to_string();
        let named = notes.into_iter().map(|note| note.replace("NODE/ENV", &id));
        self.done.notes.extend(named);
        Ok(())
    }

    fn complete(&mut self, target: Target<'_>, mode: Mode) -> Result<()> {
        let mut staged = self.staged.take().context("it was not begun")?;
        let content = self.content.take().context("it was not filled")?;
        self.progress.phase("Writing boot files");
        let (lock, complete, data) = match self.data.take() {
            // Roots that are disk images have no data beside them.
            None if staged.runs_programs(&content.before)? => {
                staged.look_unlocked()?;
                let complete = staged.complete(content)?;
                let (lock, complete) = mode.lock_completed(target.pool, &mut staged, complete)?;
                (lock, complete, None)
            }
            data => {
                let lock = mode.lock_again(target.pool, target.node)?;
                staged.look_again(&lock)?;
                let again = |data: Received| data.again(target.pool, target.node, &mut staged);
                let data = data.map(again).transpose()?;
                (lock, staged.complete(content)?, data)
            }
        };
        self.done.kernel = complete.record.kernel.as_ref().map(|k| k.version.clone());
        self.progress.phase("Making it durable");
        if let Some(data) = data {
            data.publish(target.pool, &lock, mode, &mut self.done)?;
        }
        let made = staged.publish(&lock, complete)?;
        self.done.notes.extend(made.notes);
        self.done.warnings.extend(made.warnings);
        let node = target.pool.node(target.node)?;
        self.done.notes.extend(still_made_from(&node, target.env));
        if self.done.new_node == Some(NewNode::Booted) {
            let warning = create::not_asked_for(target.node);
            self.done.warnings.push(warning);
        }
        Ok(())
    }
}
