//! What GRUB boots for once, in the environment block that it has in the reserved header of a btrfs, from 2.14 on.
//!
//! The block is GRUB's: `grub-reboot` has a variable of its own there. So netbe changes its own variable alone, and writes
//! nothing where the sector has neither zeros nor such a block. Not for which sector that is: `btrfs::reserved`.

use std::fs;

use anyhow::{Context, Result};

use crate::boot::env_block;
use crate::btrfs::reserved::{For, Reserved, SECTOR};
use crate::failure::Failure;
use crate::fs::path_error::if_exists;
use crate::pool::record::Block;

/// GRUB's own files of variables; from 2.14 on one says whether the block in the header is used.
const OF_GRUB: [&str; 2] = ["/boot/grub/grubenv", "/boot/grub2/grubenv"];

/// How long the name of an environment is at most.
const NAME_MAX: usize = 64;

/// Returns whether there is a block already, in a filesystem where netbe may have one.
///
/// # Errors
/// A refusal that says why it must not be used.
pub fn is_there(filesystem: &str) -> Result<bool> {
    let open = Reserved::open(filesystem, For::Writing)?;
    Ok(block_in(&open)?.is_some())
}

/// Returns the block; `None` where there are zeros.
///
/// # Errors
/// A refusal where it cannot be had, or there is something else.
pub(super) fn read(block: &Block) -> Result<Option<[u8; SECTOR]>> {
    block_in(&Reserved::open(&block.filesystem, For::Reading)?)
}

/// Refuses where it cannot be written, or has no room for a name.
///
/// # Errors
/// A refusal that says why.
pub(super) fn refuse(block: &Block) -> Result<()> {
    let open = Reserved::open(&block.filesystem, For::Writing)?;
    let now = block_in(&open)?.unwrap_or(env_block::empty());
    with_once(&now, Some(&"x".repeat(NAME_MAX))).map(drop)
}

/// Has it say that this environment is booted once, or none.
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

/// Makes durable what is there.
pub(super) fn settle(block: &Block) -> Result<()> {
    Reserved::open(&block.filesystem, For::Reading)?.sync()
}

/// Takes netbe's variable out; where netbe made the block, and it is nobody else's now, the sector is zeros again.
pub(super) fn clear(block: &Block) -> Result<()> {
    let open = Reserved::open(&block.filesystem, For::Writing)?;
    let now = open.read()?;
    // What is no block has nothing of netbe's.
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

/// Returns whether GRUB's own variables say that it goes on in that sector: then it is read at each boot.
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
