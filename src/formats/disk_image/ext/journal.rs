//! The journal: committed blocks that were not written to their place yet.
//!
//! Finds which blocks a recovery would write, and their copies; writes nothing. A transaction counts if it has a
//! commit block, with the right checksum where there is one.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::Ext;
use super::extents::{self, Run};
use crate::formats::disk_image::Unread;
use crate::formats::disk_image::fields::{Fields, crc32c};

/// Limits on extents, blocks and revocations of a journal: several times those of the largest that is made. A journal
/// can map one block repeatedly.
const RUNS_MAX: usize = 1 << 16;
const BLOCKS_MAX: usize = 4 << 20;

/// Magic number of a journal block, big-endian.
pub(super) const MAGIC: u32 = 0xc03b_3998;
/// Block types.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const FIRST_SUPERBLOCK: u32 = 3;
const SECOND_SUPERBLOCK: u32 = 4;
const REVOKE: u32 = 5;
/// `JBD2_FEATURE_INCOMPAT_*`.
const REVOKES: u32 = 1;
const BITS64: u32 = 2;
const CHECKSUMS_V2: u32 = 8;
const CHECKSUMS_V3: u32 = 16;
const SUPPORTED: u32 = REVOKES | BITS64 | CHECKSUMS_V2 | CHECKSUMS_V3;
/// `JBD2_FLAG_*`: the first bytes were escaped; the UUID is that of the tag before; the last tag.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// The newest copy of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    pub(super) block: u64,
    /// Whether the first four bytes were [`MAGIC`], and are zeros in the copy.
    pub(super) escaped: bool,
}

/// The blocks that a recovery would write.
#[derive(Debug, Default)]
pub(super) struct Journal {
    copies: BTreeMap<u64, Copy>,
}

impl Journal {
    /// Reads the journal of a filesystem that needs recovery.
    pub(super) fn read(ext: &Ext<'_>) -> Result<Self> {
        let number = ext.superblock.journal;
        if number == 0 {
            return Err(Unread::new("an ext filesystem with its journal on another disk").into());
        }
        let inode = ext.inode(number)?;
        let mut runs = Vec::new();
        extents::runs(ext, &inode, &mut |run| {
            runs.push(run);
            limit(runs.len(), RUNS_MAX)
        })?;
        let Some(log) = Log::open(ext, runs)? else {
            return Ok(Self::default());
        };
        Ok(Self {
            copies: newest_copies(log.transactions()?),
        })
    }

    /// Returns the copies of blocks in a range.
    pub(super) fn between(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, Copy)> {
        let range = first..end.max(first);
        self.copies
            .range(range)
            .map(|(block, copy)| (*block, *copy))
    }
}

/// A transaction.
#[derive(Debug, Default)]
struct Transaction {
    sequence: u32,
    copies: Vec<(u64, Copy)>,
    /// Revoked blocks: copies of earlier transactions are void.
    revocations: Vec<u64>,
}

impl Transaction {
    /// Returns the number of blocks named.
    fn block_count(&self) -> usize {
        self.copies.len() + self.revocations.len()
    }
}

fn limit(number: usize, most: usize) -> Result<()> {
    match number > most {
        true => Err(Unread::new("an ext journal that is larger than any").into()),
        false => Ok(()),
    }
}

fn newest_copies(transactions: Vec<Transaction>) -> BTreeMap<u64, Copy> {
    let is_later = |one: u32, other: u32| one.wrapping_sub(other).cast_signed() > 0;
    let mut revocations: HashMap<u64, u32> = HashMap::new();
    for transaction in &transactions {
        for block in &transaction.revocations {
            revocations.insert(*block, transaction.sequence);
        }
    }
    let mut copies = BTreeMap::new();
    for transaction in transactions {
        for (block, copy) in transaction.copies {
            let since = revocations.get(&block);
            if since.is_none_or(|since| is_later(transaction.sequence, *since)) {
                copies.insert(block, copy);
            }
        }
    }
    copies
}

/// The journal as a ring of blocks.
struct Log<'e> {
    ext: &'e Ext<'e>,
    runs: Vec<Run>,
    first: u64,
    end: u64,
    start: u64,
    sequence: u32,
    features: u32,
    seed: u32,
}

impl<'e> Log<'e> {
    /// Opens it; `None` if it is empty.
    fn open(ext: &'e Ext<'e>, runs: Vec<Run>) -> Result<Option<Self>> {
        let mut log = Self {
            ext,
            runs,
            first: 0,
            end: 1,
            start: 0,
            sequence: 0,
            features: 0,
            seed: 0,
        };
        let block = log.block(0)?;
        let fields = Fields(&block);
        let kind = fields.big32(4)?;
        ensure!(
            fields.big32(0)? == MAGIC && [FIRST_SUPERBLOCK, SECOND_SUPERBLOCK].contains(&kind),
            "the journal has no superblock"
        );
        ensure!(
            u64::from(fields.big32(12)?) == ext.superblock.block,
            "the journal has another block size"
        );
        if kind == SECOND_SUPERBLOCK {
            log.features = fields.big32(40)?;
            log.seed = crc32c(!0, fields.bytes(48, 16)?);
        }
        if log.features & !SUPPORTED != 0 {
            return Err(Unread::new(format!(
                "an ext journal that was not played back, with features it does not know ({:#x})",
                log.features & !SUPPORTED
            ))
            .into());
        }
        log.end = fields.big32(16)?.into();
        log.first = fields.big32(20)?.into();
        log.sequence = fields.big32(24)?;
        log.start = fields.big32(28)?.into();
        if log.start == 0 {
            return Ok(None);
        }
        ensure!(
            log.first >= 1 && log.first < log.end && (log.first..log.end).contains(&log.start),
            "the journal's superblock is malformed"
        );
        Ok(Some(log))
    }

    fn transactions(&self) -> Result<Vec<Transaction>> {
        let mut committed = Vec::new();
        let mut current = Transaction {
            sequence: self.sequence,
            ..Transaction::default()
        };
        let mut at = self.start;
        // Once around the ring: further blocks are older.
        let mut left = self.end - self.first;
        let mut before = 0;
        while left > 0 {
            crate::fs::interrupt::check()?;
            limit(before + current.block_count(), BLOCKS_MAX)?;
            let block = self.block(at)?;
            let fields = Fields(&block);
            if fields.big32(0)? != MAGIC || fields.big32(8)? != current.sequence {
                break;
            }
            at = self.after(at);
            left -= 1;
            match fields.big32(4)? {
                DESCRIPTOR if self.verify(&block)? => {
                    let used = self.tags(&block, &mut at, &mut current)?;
                    left = left.saturating_sub(used);
                }
                REVOKE if self.verify(&block)? => self.revocations(fields, &mut current)?,
                COMMIT if self.is_committed(&block)? => {
                    let next = current.sequence.wrapping_add(1);
                    before += current.block_count();
                    committed.push(std::mem::take(&mut current));
                    current.sequence = next;
                }
                _ => break,
            }
        }
        Ok(committed)
    }

    /// Collects the blocks of a descriptor, whose copies follow it; returns their number.
    fn tags(&self, block: &[u8], next: &mut u64, current: &mut Transaction) -> Result<u64> {
        let fields = Fields(block);
        let end = block.len() - self.tail_size();
        let size = self.tag_size();
        let (mut at, mut count) = (12, 0);
        while at + size <= end {
            let third = self.features & CHECKSUMS_V3 != 0;
            let flags = match third {
                true => fields.big32(at + 4)?,
                false => fields.big32(at + 4)? & 0xffff,
            };
            let high = match (self.features & BITS64 != 0, third) {
                (false, _) => 0,
                (true, _) => u64::from(fields.big32(at + 8)?) << 32,
            };
            let copy = Copy {
                block: self.disk_block(*next)?,
                escaped: flags & ESCAPED != 0,
            };
            let target = u64::from(fields.big32(at)?) | high;
            ensure!(
                target < self.ext.superblock.blocks,
                "the journal has a block beyond the filesystem's end"
            );
            current.copies.push((target, copy));
            *next = self.after(*next);
            count += 1;
            at += size + if flags & SAME_UUID == 0 { 16 } else { 0 };
            if flags & LAST != 0 {
                break;
            }
        }
        Ok(count)
    }

    fn revocations(&self, fields: Fields<'_>, current: &mut Transaction) -> Result<()> {
        let end = usize::try_from(fields.big32(12)?)?;
        let size = if self.features & BITS64 != 0 { 8 } else { 4 };
        let mut at = 16;
        while at + size <= end {
            let low = u64::from(fields.big32(at + size - 4)?);
            let high = match size {
                8 => u64::from(fields.big32(at)?) << 32,
                _ => 0,
            };
            current.revocations.push(low | high);
            at += size;
        }
        Ok(())
    }

    /// Size of a tag: `journal_tag_bytes`, fs/jbd2/journal.c.
    fn tag_size(&self) -> usize {
        if self.features & CHECKSUMS_V3 != 0 {
            return 16;
        }
        let sums = if self.features & CHECKSUMS_V2 != 0 {
            2
        } else {
            0
        };
        let wide = if self.features & BITS64 != 0 { 12 } else { 8 };
        wide + sums
    }

    fn has_checksums(&self) -> bool {
        self.features & (CHECKSUMS_V2 | CHECKSUMS_V3) != 0
    }

    /// Size of the checksum at the end of a block.
    fn tail_size(&self) -> usize {
        if self.has_checksums() { 4 } else { 0 }
    }

    /// Returns whether a descriptor or revocation block has the right checksum.
    fn verify(&self, block: &[u8]) -> Result<bool> {
        if !self.has_checksums() {
            return Ok(true);
        }
        self.verify_at(block, block.len() - self.tail_size())
    }

    /// Returns whether a commit block has the right checksum.
    fn is_committed(&self, block: &[u8]) -> Result<bool> {
        Ok(!self.has_checksums() || self.verify_at(block, 16)?)
    }

    fn verify_at(&self, block: &[u8], at: usize) -> Result<bool> {
        let stored = Fields(block).big32(at)?;
        let mut clean = block.to_vec();
        clean[at..at + 4].fill(0);
        Ok(crc32c(self.seed, &clean) == stored)
    }

    fn after(&self, at: u64) -> u64 {
        match at + 1 {
            next if next >= self.end => self.first,
            next => next,
        }
    }

    /// Returns the disk block of a journal block.
    fn disk_block(&self, at: u64) -> Result<u64> {
        let after = self.runs.partition_point(|run| run.logical <= at);
        let run = after.checked_sub(1).and_then(|n| self.runs.get(n));
        run.filter(|run| at - run.logical < run.count)
            .map(|run| run.physical + (at - run.logical))
            .context("the journal is cut short")
    }

    fn block(&self, at: u64) -> Result<Rc<[u8]>> {
        self.ext.block(self.disk_block(at)?)
    }
}

#[cfg(test)]
mod tests;
