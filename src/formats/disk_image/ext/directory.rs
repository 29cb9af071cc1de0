//! Directory entries.
//!
//! Hash trees are read as linear directories: an index block looks like unused entries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, ensure};

use super::inode::Inode;
use super::{Ext, extents, xattr};
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::formats::disk_image::node::OnName;

/// Size of an entry's header, in bytes; entries are aligned to 4.
const HEAD: usize = 8;
/// Size and type of a block's checksum entry.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;
/// Offset of the entries in an inode; before it is the parent's number.
const INLINE: usize = 4;

/// Iterates over a directory's entries.
pub(super) fn names(ext: &Ext<'_>, directory: &Inode, on_name: OnName<'_>) -> Result<()> {
    let damaged = || format!("reading the directory {}", directory.number);
    if directory.has_inline_data() {
        let size = usize::try_from(directory.size).unwrap_or(usize::MAX);
        let data = xattr::inline_data(ext, directory).with_context(damaged)?;
        let map = directory.map().len();
        in_block(ext, &data[INLINE..map.min(size).max(INLINE)], on_name)?;
        let rest = data.get(map..size).unwrap_or_default();
        return in_block(ext, rest, on_name);
    }
    let block = ext.superblock.block;
    ensure!(
        directory.size.is_multiple_of(block),
        "the directory {} is truncated",
        directory.number
    );
    let mut next = 0;
    extents::runs(ext, directory, &mut |run| {
        let end = directory.size / block;
        for n in 0..run.count {
            let logical = run.logical + n;
            if logical >= end {
                break;
            }
            ensure!(
                logical == next,
                "the directory {} has holes",
                directory.number
            );
            next += 1;
            crate::fs::interrupt::check()?;
            let bytes = ext.block(run.physical + n)?;
            // The index block has its checksum elsewhere; its unused part may look like a checksum entry.
            if !(logical == 0 && directory.is_indexed()) {
                verify_checksum(directory, &bytes).with_context(damaged)?;
            }
            in_block(ext, &bytes, on_name)?;
        }
        Ok(())
    })?;
    ensure!(
        next * block == directory.size,
        "the directory {} has holes",
        directory.number
    );
    Ok(())
}

fn verify_checksum(directory: &Inode, block: &[u8]) -> Result<()> {
    let Some(seed) = directory.seed else {
        return Ok(());
    };
    let at = block.len() - TAIL;
    let fields = Fields(block);
    let is_index = fields.u32(0)? == 0 && usize::from(fields.u16(4)?) % block.len() == 0;
    let is_tail = !is_index
        && fields.u32(at)? == 0
        && usize::from(fields.u16(at + 4)?) == TAIL
        && fields.u8(at + 6)? == 0
        && fields.u8(at + 7)? == TAIL_TYPE;
    ensure!(
        !is_tail || crc32c(seed, &block[..at]) == fields.u32(at + 8)?,
        "its checksum is wrong"
    );
    Ok(())
}

/// Iterates over the entries in one block, or in an inode.
fn in_block(ext: &Ext<'_>, block: &[u8], on_name: OnName<'_>) -> Result<()> {
    let fields = Fields(block);
    let mut at = 0;
    while at < block.len() {
        let inode = fields.u32(at)?;
        let length = length(fields.u16(at + 4)?, block.len());
        let name_length = match ext.superblock.typed_names {
            true => usize::from(fields.u8(at + 6)?),
            false => usize::from(fields.u16(at + 6)?),
        };
        ensure!(
            length >= HEAD + name_length && length.is_multiple_of(4) && at + length <= block.len(),
            "a directory entry is malformed"
        );
        if inode != 0 {
            let name = fields.bytes(at + HEAD, name_length)?;
            if name != b"." && name != b".." {
                ensure!(
                    !name.is_empty()
                        && name.len() <= 255
                        && !name.contains(&b'/')
                        && !name.contains(&0),
                    "a directory has an invalid name"
                );
                on_name(OsStr::from_bytes(name), inode)?;
            }
        }
        at += length;
    }
    Ok(())
}

/// Returns an entry's length; blocks of 64 KiB need a special encoding.
fn length(stored: u16, block: usize) -> usize {
    match usize::from(stored) {
        0 | 0xffff if block >= 1 << 16 => block,
        stored if block >= 1 << 16 => (stored & 0xfffc) | ((stored & 3) << 16),
        stored => stored,
    }
}
