//! The names in a directory.
//!
//! Sorted ones are read like others: what only sorts looks like names that lead nowhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, ensure};

use super::inode::Inode;
use super::{Ext, extents, id, xattr};
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::formats::disk_image::reader::OnName;

/// The size of what stands before a name, in bytes; it begins at a multiple of 4.
const HEAD: usize = 8;
/// What a block with a checksum ends in, in bytes, and its type.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;
/// Where the names in an inode begin: before is the directory above.
const INLINE: usize = 4;

/// Goes through the names of a directory.
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
        "the directory {} is not whole",
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
            // What only sorts has its checksum elsewhere, and no name; what was there before may look like one.
            if !(logical == 0 && directory.is_sorted()) {
                require_sum(directory, &bytes).with_context(damaged)?;
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

fn require_sum(directory: &Inode, block: &[u8]) -> Result<()> {
    let Some(seed) = directory.seed else {
        return Ok(());
    };
    let at = block.len() - TAIL;
    let fields = Fields(block);
    let only_sorts = fields.u32(0)? == 0 && usize::from(fields.u16(4)?) % block.len() == 0;
    let is_tail = !only_sorts
        && fields.u32(at)? == 0
        && usize::from(fields.u16(at + 4)?) == TAIL
        && fields.u8(at + 6)? == 0
        && fields.u8(at + 7)? == TAIL_TYPE;
    ensure!(
        !is_tail || crc32c(seed, &block[..at]) == fields.u32(at + 8)?,
        "it is damaged"
    );
    Ok(())
}

/// Goes through one block of names, or what is one in an inode.
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
            "a directory's names make no sense"
        );
        if inode != 0 {
            let name = fields.bytes(at + HEAD, name_length)?;
            if name != b"." && name != b".." {
                ensure!(
                    !name.is_empty()
                        && name.len() <= 255
                        && !name.contains(&b'/')
                        && !name.contains(&0),
                    "a directory has a name that is none"
                );
                on_name(OsStr::from_bytes(name), id(inode))?;
            }
        }
        at += length;
    }
    Ok(())
}

/// Returns how far the next name is: in blocks of 64 KiB one number stands for what has no room.
fn length(said: u16, block: usize) -> usize {
    match usize::from(said) {
        0 | 0xffff if block >= 1 << 16 => block,
        said if block >= 1 << 16 => (said & 0xfffc) | ((said & 3) << 16),
        said => said,
    }
}
