//! The journal: blocks that were written down, and not yet in their place when the filesystem was last used.
//!
//! Which ones a recovery would write, and where in the journal they are; nothing is written. A transaction counts when
//! its end was written, and its checksum, where there is one, is right.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::Ext;
use super::extents::{self, Run};
use crate::formats::disk_image::Unread;
use crate::formats::disk_image::fields::{Fields, crc32c};

/// The most stretches that it lies in, blocks that it holds, and blocks that it says are something else since: several
/// times what the largest that is made has. It can be laid over one block again and again.
const STRETCHES: usize = 1 << 16;
const BLOCKS: usize = 4 << 20;

/// What each of the journal's own blocks begins with, largest byte first.
pub(super) const MAGIC: u32 = 0xc03b_3998;
/// Kinds of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const FIRST_SUPERBLOCK: u32 = 3;
const SECOND_SUPERBLOCK: u32 = 4;
const REVOKE: u32 = 5;
/// `JBD2_FEATURE_INCOMPAT_*`.
const REVOKES: u32 = 1;
const WIDE: u32 = 2;
const SECOND_SUMS: u32 = 8;
const THIRD_SUMS: u32 = 16;
const UNDERSTOOD: u32 = REVOKES | WIDE | SECOND_SUMS | THIRD_SUMS;
/// `JBD2_FLAG_*`: what begins like the journal's own blocks was changed; the same UUID as before; the last one.
const ESCAPED: u32 = 1;
const SAME: u32 = 2;
const LAST: u32 = 8;

/// Where the newest content of a block is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    pub(super) block: u64,
    /// Whether its first four bytes were [`MAGIC`], and are zeros there.
    pub(super) escaped: bool,
}

/// What a recovery would write.
#[derive(Debug, Default)]
pub(super) struct Journal {
    copies: BTreeMap<u64, Copy>,
}

impl Journal {
    /// Reads the journal of a filesystem that needs its recovery.
    pub(super) fn read(ext: &Ext<'_>) -> Result<Self> {
        let number = ext.superblock.journal;
        if number == 0 {
            return Err(Unread::new("an ext filesystem with its journal on another disk").into());
        }
        let inode = ext.inode(number)?;
        let mut runs = Vec::new();
        extents::runs(ext, &inode, &mut |run| {
            runs.push(run);
            require_few(runs.len(), STRETCHES)
        })?;
        let Some(log) = Log::open(ext, runs)? else {
            return Ok(Self::default());
        };
        Ok(Self {
            copies: in_order(log.transactions()?),
        })
    }

    /// Returns the blocks from one up to another that are not in their place.
    pub(super) fn between(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, Copy)> {
        let range = first..end.max(first);
        self.copies
            .range(range)
            .map(|(block, copy)| (*block, *copy))
    }
}

/// What was written together, or not at all.
#[derive(Debug, Default)]
struct Transaction {
    sequence: u32,
    copies: Vec<(u64, Copy)>,
    /// Blocks that are something else since: what older ones say of them no longer holds.
    revoked: Vec<u64>,
}

impl Transaction {
    /// Returns how many blocks it names.
    fn named(&self) -> usize {
        self.copies.len() + self.revoked.len()
    }
}

fn require_few(number: usize, most: usize) -> Result<()> {
    match number > most {
        true => Err(Unread::new("an ext journal that is larger than any").into()),
        false => Ok(()),
    }
}

fn in_order(transactions: Vec<Transaction>) -> BTreeMap<u64, Copy> {
    let is_later = |one: u32, other: u32| one.wrapping_sub(other).cast_signed() > 0;
    let mut revoked: HashMap<u64, u32> = HashMap::new();
    for transaction in &transactions {
        for block in &transaction.revoked {
            revoked.insert(*block, transaction.sequence);
        }
    }
    let mut copies = BTreeMap::new();
    for transaction in transactions {
        for (block, copy) in transaction.copies {
            let since = revoked.get(&block);
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
    /// Opens it; `None` where there is nothing in it.
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
            "it has no superblock"
        );
        ensure!(
            u64::from(fields.big32(12)?) == ext.superblock.block,
            "its blocks have another size"
        );
        if kind == SECOND_SUPERBLOCK {
            log.features = fields.big32(40)?;
            log.seed = crc32c(!0, fields.bytes(48, 16)?);
        }
        if log.features & !UNDERSTOOD != 0 {
            return Err(Unread::new(format!(
                "an ext journal that was not played back, with features it does not know ({:#x})",
                log.features & !UNDERSTOOD
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
            "its superblock makes no sense"
        );
        Ok(Some(log))
    }

    fn transactions(&self) -> Result<Vec<Transaction>> {
        let mut whole = Vec::new();
        let mut current = Transaction {
            sequence: self.sequence,
            ..Transaction::default()
        };
        let mut at = self.start;
        // Once round, and no further: what is behind was there before.
        let mut left = self.end - self.first;
        let mut before = 0;
        while left > 0 {
            crate::fs::interrupt::check()?;
            require_few(before + current.named(), BLOCKS)?;
            let block = self.block(at)?;
            let fields = Fields(&block);
            if fields.big32(0)? != MAGIC || fields.big32(8)? != current.sequence {
                break;
            }
            at = self.behind(at);
            left -= 1;
            match fields.big32(4)? {
                DESCRIPTOR if self.has_sum(&block)? => {
                    let used = self.tags(&block, &mut at, &mut current)?;
                    left = left.saturating_sub(used);
                }
                REVOKE if self.has_sum(&block)? => self.revoked(fields, &mut current)?,
                COMMIT if self.is_committed(&block)? => {
                    let next = current.sequence.wrapping_add(1);
                    before += current.named();
                    whole.push(std::mem::take(&mut current));
                    current.sequence = next;
                }
                _ => break,
            }
        }
        Ok(whole)
    }

    /// Takes note of the blocks that a descriptor names: they follow it. Returns how many they are.
    fn tags(&self, block: &[u8], next: &mut u64, current: &mut Transaction) -> Result<u64> {
        let fields = Fields(block);
        let end = block.len() - self.tail();
        let size = self.tag_size();
        let (mut at, mut count) = (12, 0);
        while at + size <= end {
            let third = self.features & THIRD_SUMS != 0;
            let flags = match third {
                true => fields.big32(at + 4)?,
                false => fields.big32(at + 4)? & 0xffff,
            };
            let high = match (self.features & WIDE != 0, third) {
                (false, _) => 0,
                (true, _) => u64::from(fields.big32(at + 8)?) << 32,
            };
            let copy = Copy {
                block: self.place(*next)?,
                escaped: flags & ESCAPED != 0,
            };
            let of = u64::from(fields.big32(at)?) | high;
            ensure!(of < self.ext.superblock.blocks, "it leads beyond the end");
            current.copies.push((of, copy));
            *next = self.behind(*next);
            count += 1;
            at += size + if flags & SAME == 0 { 16 } else { 0 };
            if flags & LAST != 0 {
                break;
            }
        }
        Ok(count)
    }

    fn revoked(&self, fields: Fields<'_>, current: &mut Transaction) -> Result<()> {
        let end = usize::try_from(fields.big32(12)?)?;
        let size = if self.features & WIDE != 0 { 8 } else { 4 };
        let mut at = 16;
        while at + size <= end {
            let low = u64::from(fields.big32(at + size - 4)?);
            let high = match size {
                8 => u64::from(fields.big32(at)?) << 32,
                _ => 0,
            };
            current.revoked.push(low | high);
            at += size;
        }
        Ok(())
    }

    /// The size of what names one block: `journal_tag_bytes`, fs/jbd2/journal.c.
    fn tag_size(&self) -> usize {
        if self.features & THIRD_SUMS != 0 {
            return 16;
        }
        let sums = if self.features & SECOND_SUMS != 0 {
            2
        } else {
            0
        };
        let wide = if self.features & WIDE != 0 { 12 } else { 8 };
        wide + sums
    }

    fn has_sums(&self) -> bool {
        self.features & (SECOND_SUMS | THIRD_SUMS) != 0
    }

    /// The size of what its own blocks end in.
    fn tail(&self) -> usize {
        if self.has_sums() { 4 } else { 0 }
    }

    /// Returns whether one of its own blocks is what was written.
    fn has_sum(&self, block: &[u8]) -> Result<bool> {
        if !self.has_sums() {
            return Ok(true);
        }
        self.is_sum_at(block, block.len() - self.tail())
    }

    /// Returns whether the end of a transaction is what was written.
    fn is_committed(&self, block: &[u8]) -> Result<bool> {
        Ok(!self.has_sums() || self.is_sum_at(block, 16)?)
    }

    fn is_sum_at(&self, block: &[u8], at: usize) -> Result<bool> {
        let kept = Fields(block).big32(at)?;
        let mut clean = block.to_vec();
        clean[at..at + 4].fill(0);
        Ok(crc32c(self.seed, &clean) == kept)
    }

    fn behind(&self, at: u64) -> u64 {
        match at + 1 {
            next if next >= self.end => self.first,
            next => next,
        }
    }

    /// Returns where a block of the journal is.
    fn place(&self, at: u64) -> Result<u64> {
        let behind = self.runs.partition_point(|run| run.logical <= at);
        let run = behind.checked_sub(1).and_then(|n| self.runs.get(n));
        run.filter(|run| at - run.logical < run.count)
            .map(|run| run.physical + (at - run.logical))
            .context("it is cut short")
    }

    fn block(&self, at: u64) -> Result<Rc<[u8]>> {
        self.ext.block(self.place(at)?)
    }
}

#[cfg(test)]
mod tests;
