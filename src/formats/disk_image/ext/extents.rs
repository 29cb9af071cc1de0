//! The blocks of a file, by extents or by indirect blocks.
//!
//! All blocks are counted, metadata blocks too, so a loop ends with an error.

use anyhow::{Context, Result, ensure};

use super::Ext;
use super::inode::Inode;
use crate::formats::disk_image::fields::{Fields, crc32c};

const MAGIC: u16 = 0xf30a;
/// Size of an extent block's header and of its entries, in bytes.
const HEADER: usize = 12;
const ENTRY: usize = 12;
/// Maximum depth of the tree.
const DEPTH_MAX: u16 = 5;
/// Longest extent, in blocks; a larger length is of an unwritten extent, with this as offset.
const LENGTH_MAX: u32 = 0x8000;
/// Number of direct blocks in an inode.
const DIRECT: usize = 12;

/// Consecutive blocks in the file and on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) count: u64,
}

type OnRun<'a> = &'a mut dyn FnMut(Run) -> Result<()>;

/// Iterates over a file's blocks in order; missing ones are holes.
pub(super) fn runs(ext: &Ext<'_>, inode: &Inode, on_run: OnRun<'_>) -> Result<()> {
    let walk = if inode.has_extents() {
        let mut walk = Extents {
            ext,
            inode,
            next: 0,
        };
        let depth = Fields(inode.map()).u16(6)?;
        walk.node(inode.map(), depth, on_run)
    } else {
        let mut tables = Tables {
            ext,
            at: 0,
            run: None,
        };
        tables.inode(inode, on_run)
    };
    walk.with_context(|| format!("finding the blocks of the file {}", inode.number))
}

struct Extents<'e> {
    ext: &'e Ext<'e>,
    inode: &'e Inode,
    /// The lowest file block that may come next.
    next: u64,
}

impl Extents<'_> {
    fn node(&mut self, node: &[u8], depth: u16, on_run: OnRun<'_>) -> Result<()> {
        let fields = Fields(node);
        let count = usize::from(fields.u16(2)?);
        ensure!(
            fields.u16(0)? == MAGIC && fields.u16(6)? == depth && depth <= DEPTH_MAX,
            "an extent block is malformed"
        );
        for at in (0..count).map(|n| HEADER + n * ENTRY) {
            let logical = u64::from(fields.u32(at)?);
            if depth > 0 {
                let target =
                    u64::from(fields.u32(at + 4)?) | (u64::from(fields.u16(at + 8)?) << 32);
                self.ext.reserve(1)?;
                let block = self.ext.block(target)?;
                self.verify_checksum(&block)?;
                self.node(&block, depth - 1, on_run)?;
                continue;
            }
            let length = u32::from(fields.u16(at + 4)?);
            let physical = u64::from(fields.u32(at + 8)?) | (u64::from(fields.u16(at + 6)?) << 32);
            let written = length <= LENGTH_MAX;
            let count = u64::from(if written { length } else { length - LENGTH_MAX });
            ensure!(
                count > 0 && logical >= self.next,
                "its extents are out of order"
            );
            self.next = logical + count;
            self.ext.reserve(count)?;
            if written {
                on_run(Run {
                    logical,
                    physical,
                    count,
                })?;
            }
        }
        Ok(())
    }

    fn verify_checksum(&self, block: &[u8]) -> Result<()> {
        let Some(seed) = self.inode.seed else {
            return Ok(());
        };
        let fields = Fields(block);
        let end = HEADER + usize::from(fields.u16(4)?) * ENTRY;
        let sum = crc32c(seed, fields.bytes(0, end)?);
        ensure!(
            sum == fields.u32(end)?,
            "an extent block's checksum is wrong"
        );
        Ok(())
    }
}

struct Tables<'e> {
    ext: &'e Ext<'e>,
    /// The current file block.
    at: u64,
    /// The last run, not reported yet.
    run: Option<Run>,
}

impl Tables<'_> {
    fn inode(&mut self, inode: &Inode, on_run: OnRun<'_>) -> Result<()> {
        let map = Fields(inode.map());
        for n in 0..DIRECT {
            self.block(map.u32(n * 4)?, on_run)?;
        }
        let blocks = inode.size.div_ceil(self.ext.superblock.block);
        for level in 1..=3 {
            if self.at >= blocks {
                break;
            }
            let table = map.u32((DIRECT + level - 1) * 4)?;
            self.table(table, level, blocks, on_run)?;
        }
        self.run.take().map_or(Ok(()), on_run)
    }

    /// Iterates over the targets of an indirect block; above `level` 1 those are indirect blocks too.
    fn table(&mut self, table: u32, level: usize, end: u64, on_run: OnRun<'_>) -> Result<()> {
        let entries = self.ext.superblock.block / 4;
        if table == 0 {
            let target = entries.saturating_pow(u32::try_from(level)?);
            self.at = self.at.saturating_add(target);
            return Ok(());
        }
        self.ext.reserve(1)?;
        let block = self.ext.block(table.into())?;
        for n in 0..usize::try_from(entries)? {
            if self.at >= end {
                break;
            }
            let target = Fields(&block).u32(n * 4)?;
            match level {
                1 => self.block(target, on_run)?,
                _ => self.table(target, level - 1, end, on_run)?,
            }
        }
        Ok(())
    }

    fn block(&mut self, block: u32, on_run: OnRun<'_>) -> Result<()> {
        let logical = self.at;
        self.at += 1;
        if block == 0 {
            return Ok(());
        }
        self.ext.reserve(1)?;
        let physical = u64::from(block);
        match &mut self.run {
            Some(run)
                if run.logical + run.count == logical && run.physical + run.count == physical =>
            {
                run.count += 1;
            }
            run => {
                let new = Run {
                    logical,
                    physical,
                    count: 1,
                };
                if let Some(before) = run.replace(new) {
                    on_run(before)?;
                }
            }
        }
        Ok(())
    }
}
