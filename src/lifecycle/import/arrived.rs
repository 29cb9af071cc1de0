//! The opened source of an import: a system, or a stream of `export`.
//!
//! Not for making an environment of it.

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::data::{Offered, Received};
use super::stream::Sent;
use super::unpack::{self, Halves, Opened, Progress};
use super::{NewNode, Request};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::pool::record::EnvRecord;
use crate::pool::{EnvId, EnvName, Node, NodeName, Operand, Pool, stage};
use crate::staged::{self, Content, Identity, StagedEnvironment, first_boot};

/// The opened source.
pub(super) enum Arrived {
    /// A system.
    System(Opened),
    /// A stream of `export`.
    Sent(Box<Sent>),
}

impl Arrived {
    pub(super) fn open(request: &Request) -> Result<Self> {
        Ok(match unpack::open(&request.source)? {
            Opened::Input(input) if input.is_stream() => {
                if request.boot.is_some() {
                    return Err(Failure::usage(
                        "a stream has both halves: --boot is for other sources",
                    )
                    .into());
                }
                let sent = Sent::open(input)?;
                if request.base.is_some() && sent.header.since.is_none() {
                    return Err(Failure::usage(
                        "the stream is full: --base is for an incremental stream",
                    )
                    .into());
                }
                if request.data && sent.header.data.is_empty() {
                    let from = EnvId::new(&sent.header.node, &sent.header.name);
                    return Err(Failure::refused(format!(
                        "the stream has no data of {}; without --data the environment alone is imported",
                        from.node
                    ))
                    .hint_to(
                        "to export it with its data, where the stream was made",
                        format!("netbe export {from} --data -o whole.netbe"),
                    )
                    .into());
                }
                Self::Sent(Box::new(sent))
            }
            _ if request.data => {
                return Err(
                    Failure::usage("--data is for a stream that was exported with --data").into(),
                );
            }
            _ if request.base.is_some() => {
                return Err(Failure::usage("--base is for an incremental stream").into());
            }
            opened => Self::System(opened),
        })
    }

    /// Returns the name of the environment: that in the stream, if it is free.
    pub(super) fn name(
        &self,
        pool: &Pool,
        node: Option<&Node>,
        target: &Operand,
    ) -> Result<EnvName> {
        if let (Self::Sent(sent), None) = (self, &target.env) {
            let named = Operand {
                node: target.node.clone(),
                env: Some(sent.header.name.clone()),
            };
            if let Ok(name) = staged::free_name(pool, node, &named) {
                return Ok(name);
            }
        }
        staged::free_name(pool, node, target)
    }

    /// Returns the step that unpacks or receives it.
    ///
    /// # Errors
    /// If it is recognisably no system, or the base of an incremental stream does not exist.
    pub(super) fn step(&self, pool: &Pool, request: &Request, name: &EnvId) -> Result<String> {
        match self {
            Self::System(opened) => {
                let unseen = opened.foresee(request.driver)?;
                let unseen = unseen.map(|what| format!(", {what} that was not looked into,"));
                let unseen = unseen.unwrap_or_default();
                Ok(format!("unpack the source{unseen} as {name}"))
            }
            Self::Sent(sent) => sent.step(pool, request, name),
        }
    }

    /// Returns whether it comes from another machine than the target's node.
    pub(super) fn is_another(&self, node: &NodeName) -> bool {
        matches!(self, Self::Sent(sent) if sent.header.node != *node)
    }

    /// Returns the kind of the new node.
    pub(super) fn new_node(&self) -> NewNode {
        match self {
            Self::Sent(sent) if !sent.header.template => NewNode::Booted,
            _ => NewNode::Template,
        }
    }

    /// Fills the halves; returns their content, and notes.
    pub(super) fn fill(
        self,
        pool: &Pool,
        request: &Request,
        staged: &StagedEnvironment,
        data: Option<&Received>,
        progress: &mut dyn Progress,
    ) -> Result<(Content, Vec<String>)> {
        match self {
            Self::System(opened) => fill(request, opened, staged, progress),
            Self::Sent(sent) => {
                let notes = sent.left(request).into_iter().collect();
                Ok((sent.fill(pool, request, staged, data, progress)?, notes))
            }
        }
    }

    /// Returns the data to take from it.
    pub(super) fn data(&self, request: &Request) -> Offered {
        match self {
            Self::Sent(sent) if request.data => Offered {
                export: sent.header.export(),
                paths: sent.header.data.clone(),
            },
            _ => Offered::default(),
        }
    }
}

/// Fills the halves with an operating system.
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
    let mut notes = unpacked.notes;
    notes.extend(first_boot::notes(
        &Tree::open(&root)?,
        &Tree::open(&boot)?,
        &record.boot_mount,
    )?);
    let content = Content {
        before: record.clone(),
        record,
        identity: Identity::Same,
    };
    Ok((content, notes))
}
