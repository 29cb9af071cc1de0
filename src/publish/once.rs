//! The environment that this machine's loader boots for once, and that the loader erases before it boots it.
//!
//! GRUB has it in a file, whose sectors it overwrites in place, or in a sector that btrfs does not use, beside GRUB's own
//! variables; systemd-boot has it in a variable of the firmware. Not for choosing the environment.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result};

use super::own_partition::OwnPartition;
use super::reserved_block;
use crate::boot::{env_block, loader_spec};
use crate::failure::Failure;
use crate::fs::mounts::Access;
use crate::fs::path_error::if_exists;
use crate::fs::systemd;
use crate::fs::{atomic, efi_variable};
use crate::pool::record::{Block, Local};

/// The place where a loader stores its boot for once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Once<'a> {
    /// GRUB's environment block in a file.
    Block(&'a Block),
    /// The same in the reserved header of a btrfs.
    Reserved(&'a Block),
    /// systemd-boot's variable, with the node's name.
    OneShot(&'a str),
}

/// The present content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Now {
    /// Whether the place exists, so that the loader reads it.
    pub(super) is_made: bool,
    /// The environment, by its name.
    pub(super) env: Option<String>,
}

impl<'a> Once<'a> {
    /// Returns the place of a machine; `None` if its loader can erase nothing.
    pub(super) fn of(local: &'a Local) -> Option<Self> {
        match (&local.esp, &local.block) {
            (Some(_), _) => Some(Self::OneShot(&local.node)),
            (None, Some(block)) if block.is_reserved() => Some(Self::Reserved(block)),
            (None, Some(block)) => Some(Self::Block(block)),
            (None, None) => None,
        }
    }

    /// Reads the content.
    ///
    /// # Errors
    /// A refusal if the place is not accessible now.
    pub(super) fn read(self) -> Result<Now> {
        match self {
            Self::Block(block) => {
                let partition =
                    OwnPartition::open(&block.filesystem, &block.kind, Access::ReadOnly)?;
                let bytes = if_exists(fs::read(partition.path().join(&block.file)));
                let bytes = bytes.with_context(|| format!("reading {block}"))?;
                let bytes = bytes.unwrap_or_default();
                Ok(Now {
                    is_made: bytes.len() == env_block::LENGTH && env_block::is_block(&bytes),
                    env: env_block::once(&bytes).map(str::to_string),
                })
            }
            Self::Reserved(block) => {
                let bytes = reserved_block::read(block)?;
                let env = bytes.as_ref().and_then(|bytes| env_block::once(bytes));
                Ok(Now {
                    is_made: bytes.is_some(),
                    env: env.map(str::to_string),
                })
            }
            Self::OneShot(node) => {
                if efi_variable::read("LoaderInfo")?.is_none() {
                    return Err(Failure::refused(
                        "this machine was not started by systemd-boot, which boots something for once by a variable of the \
                         firmware",
                    )
                    .hint("bootctl status")
                    .into());
                }
                let id = efi_variable::read("LoaderEntryOneShot")
                    .context("reading systemd-boot's entry for once")?;
                let env = id.as_deref().and_then(|id| loader_spec::env_of(id, node));
                Ok(Now {
                    is_made: true,
                    env: env.map(str::to_string),
                })
            }
        }
    }

    /// Refuses, before anything is changed, if it cannot be set.
    ///
    /// # Errors
    /// A refusal that says why.
    pub(super) fn refuse(self) -> Result<()> {
        match self {
            Self::Reserved(block) => reserved_block::refuse(block),
            Self::Block(_) | Self::OneShot(_) => self.read().map(drop),
        }
    }

    /// Makes the content durable: a command that wrote it may have been killed before its sync.
    pub(super) fn settle(self) -> Result<()> {
        match self {
            Self::Block(block) => {
                OwnPartition::open(&block.filesystem, &block.kind, Access::ReadOnly)?
                    .sync()
                    .with_context(|| format!("writing {block}"))
            }
            Self::Reserved(block) => reserved_block::settle(block),
            Self::OneShot(_) => Ok(()),
        }
    }

    /// Sets this environment, or none, durably.
    pub(super) fn write(self, env: Option<&str>) -> Result<()> {
        match self {
            Self::Block(block) => {
                write_block(block, env).with_context(|| format!("writing {block}"))
            }
            Self::Reserved(block) => {
                reserved_block::write(block, env).with_context(|| format!("writing {block}"))
            }
            Self::OneShot(node) => {
                let id = env.map(|env| loader_spec::id(node, env));
                let mut bootctl = Command::new("bootctl");
                bootctl.args(["set-oneshot", id.as_deref().unwrap_or_default()]);
                systemd::run(&mut bootctl).context("setting systemd-boot's entry for once")
            }
        }
    }
}

impl std::fmt::Display for Once<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Block(block) | Self::Reserved(block) => write!(f, "{block}"),
            Self::OneShot(_) => write!(f, "LoaderEntryOneShot"),
        }
    }
}

/// Writes the block in place, as GRUB does: netbe's variable is in the first sector.
fn write_block(block: &Block, env: Option<&str>) -> Result<()> {
    let partition = OwnPartition::open(&block.filesystem, &block.kind, Access::ReadWrite)?;
    let file = partition.path().join(&block.file);
    if let Some(dir) = file.parent() {
        atomic::directories(dir)?;
    }
    let mut open = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file)?;
    open.write_all(env_block::block(env).as_bytes())?;
    open.set_len(env_block::LENGTH as u64)?;
    open.sync_all()?;
    partition.sync()
}

/// Removes only netbe's variable from GRUB's block, durably.
pub(super) fn remove_block(block: &Block) -> Result<()> {
    match block.is_reserved() {
        true => reserved_block::clear(block),
        false => remove_file(block),
    }
}

/// Removes the file, and its directory if that is empty then.
fn remove_file(block: &Block) -> Result<()> {
    let partition = OwnPartition::open(&block.filesystem, &block.kind, Access::ReadWrite)?;
    let file = partition.path().join(&block.file);
    if_exists(fs::remove_file(&file))?;
    // A directory with other files stays.
    let _ = file.parent().map(fs::remove_dir);
    partition.sync()
}
