//! GRUB's boot for once, in the environment block that GRUB has in the reserved header of a btrfs, from 2.14 on.
//!
//! The block is GRUB's: `grub-reboot` has its variable there. So netbe changes only its own variable, and does not write to
//! a sector with any other content than zeros or such a block. Not for finding the sector: `btrfs::reserved`.

use std::fs;

use anyhow::{Context, Result};

use crate::boot::env_block;
use crate::btrfs::reserved::{For, Reserved, SECTOR};
use crate::failure::Failure;
use crate::fs::path_error::if_exists;
use crate::pool::record::Block;

/// GRUB's own files of variables; from 2.14 on one says whether the block in the header is used.
const OF_GRUB: [&str; 2] = ["/boot/grub/grubenv", "/boot/grub2/grubenv"];

/// The maximum length of an environment's name.
const NAME_MAX: usize = 64;

/// Returns whether a filesystem whose sector netbe may use has a block already.
///
/// # Errors
/// A refusal that says why it must not be used.
pub fn is_there(filesystem: &str) -> Result<bool> {
    let open = Reserved::open(filesystem, For::Writing)?;
    Ok(block_in(&open)?.is_some())
}

/// Returns the block; `None` if the sector is zeros.
///
/// # Errors
/// A refusal if the sector cannot be read, or has other content.
pub(super) fn read(block: &Block) -> Result<Option<[u8; SECTOR]>> {
    block_in(&Reserved::open(&block.filesystem, For::Reading)?)
}

/// Refuses if the block cannot be written, or has no space for a name.
///
/// # Errors
/// A refusal that says why.
pub(super) fn refuse(block: &Block) -> Result<()> {
    let open = Reserved::open(&block.filesystem, For::Writing)?;
    let now = block_in(&open)?.unwrap_or(env_block::empty());
    with_once(&now, Some(&"x".repeat(NAME_MAX))).map(drop)
}

/// Sets the environment that is booted once, or none.
pub(super) fn write(block: &Block, env: Option<&str>) -> Result<()> {
    let open = Reserved::open(&block.filesystem, For::Writing)?;
    let now = block_in(&open)?.unwrap_or(env_block::empty());
    open.write(&with_once(&now, env)?)
}

fn with_once(now: &[u8; SECTOR], env: Option<&str>) -> Result<[u8; SECTOR]> {
    env_block::with_once(now, env).ok_or_else(|| {
        Failure::refused("GRUB's environment block on btrfs has no room: other variables fill it")
            .hint("grub-editenv list")
            .into()
    })
}

/// Makes the present content durable.
pub(super) fn settle(block: &Block) -> Result<()> {
    Reserved::open(&block.filesystem, For::Reading)?.sync()
}

/// Removes netbe's variable; if netbe made the block, and no other program uses it now, the sector becomes zeros again.
pub(super) fn clear(block: &Block) -> Result<()> {
    let open = Reserved::open(&block.filesystem, For::Writing)?;
    let now = open.read()?;
    // A sector without a block has no variable of netbe's.
    let Some(mut new) = env_block::with_once(&now, None) else {
        return open.sync();
    };
    if block.made && new == env_block::empty() && !is_of_grub()? {
        new = [0; SECTOR];
    }
    match new == now {
        true => open.sync(),
        false => open.write(&new),
    }
}

fn block_in(open: &Reserved) -> Result<Option<[u8; SECTOR]>> {
    let bytes = open.read()?;
    if bytes == [0; SECTOR] {
        return Ok(None);
    }
    // GRUB before 2.14 may have its core there, on a disk without partitions.
    if !env_block::is_block(&bytes) {
        return Err(Failure::refused(
            "the sector that GRUB has on btrfs for a boot for once, 512 bytes at 256 KiB of its device, has neither zeros nor an \
             environment block of GRUB: netbe leaves it as it is",
        )
        .hint("lsblk -f")
        .into());
    }
    Ok(Some(bytes))
}

/// Returns whether GRUB's own variables refer to that sector: then GRUB reads it at each boot.
fn is_of_grub() -> Result<bool> {
    for file in OF_GRUB {
        let bytes = if_exists(fs::read(file)).with_context(|| format!("reading {file}"))?;
        let text = bytes.unwrap_or_default();
        if String::from_utf8_lossy(&text).contains("\nenv_block=") {
            return Ok(true);
        }
    }
    Ok(false)
}
