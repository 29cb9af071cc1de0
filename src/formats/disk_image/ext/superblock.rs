//! The superblock: sizes, locations, features.

use anyhow::{Context, Result, ensure};

use crate::formats::disk_image::Unread;
use crate::formats::disk_image::fields::{Fields, crc32c};

const FIRST_INODE: u32 = 11;
/// `EXT4_FEATURE_INCOMPAT_*` with effect on reading.
const RECOVER: u32 = 0x4;
const META_GROUPS: u32 = 0x10;
const BITS64: u32 = 0x80;
const SEED: u32 = 0x2000;
/// All supported ones: also file types in entries, extents, flexible groups, attribute inodes, large directories and
/// inline data. Multiple mount protection, encryption and case folding do not affect other files.
const SUPPORTED: u32 = 0x3_e7d6;
/// `EXT4_FEATURE_RO_COMPAT_*`: sparse superblock copies; metadata checksums; shared blocks.
const SPARSE: u32 = 0x1;
const CHECKSUMS: u32 = 0x400;
const SHARED: u32 = 0x4000;

/// The fields that are used.
#[derive(Debug)]
pub(super) struct Superblock {
    /// Block size, in bytes.
    pub(super) block: u64,
    /// Number of blocks, and of free blocks.
    pub(super) blocks: u64,
    pub(super) free: u64,
    /// Number of inodes, and their size in bytes.
    pub(super) inodes: u32,
    pub(super) inode_size: u64,
    /// The first inode that is not reserved.
    pub(super) first_inode: u32,
    /// Whether the journal needs recovery.
    pub(super) needs_replay: bool,
    /// Inode of the journal; 0 for none.
    pub(super) journal: u32,
    /// Whether directory entries have a file type, and a name length of one byte.
    pub(super) typed_names: bool,
    /// Initial value of checksums, if the filesystem has checksums.
    pub(super) seed: Option<u32>,
    /// Whether block numbers have 64 bits.
    pub(super) is_64bit: bool,
    first_block: u64,
    inodes_per_group: u32,
    blocks_per_group: u64,
    descriptor_size: u64,
    first_meta_group: Option<u64>,
    sparse_copies: bool,
}

impl Superblock {
    /// Parses 1024 bytes; `size` is that of the partition, in bytes.
    pub(super) fn parse(head: &[u8], size: u64) -> Result<Self> {
        let fields = Fields(head);
        ensure!(fields.u16(56)? == 0xef53, "it has no superblock");
        let incompatible = fields.u32(96)?;
        let readable = fields.u32(100)?;
        let unsupported = incompatible & !SUPPORTED;
        if unsupported != 0 || readable & SHARED != 0 {
            return Err(Unread::new(format!(
                "an ext filesystem with features it does not know ({unsupported:#x}, {:#x})",
                readable & SHARED
            ))
            .into());
        }
        let is_64bit = incompatible & BITS64 != 0;
        let high = |at| if is_64bit { fields.u32(at) } else { Ok(0) };
        let both = |low, at| {
            Ok::<_, anyhow::Error>(u64::from(fields.u32(low)?) | (u64::from(high(at)?) << 32))
        };
        let shift = fields.u32(24)?;
        ensure!(shift <= 6, "its block size is invalid");
        let block = 1024_u64 << shift;
        let revision = fields.u32(76)?;
        let inode_size = if revision == 0 {
            128
        } else {
            u64::from(fields.u16(88)?)
        };
        let descriptor_size = if is_64bit {
            u64::from(fields.u16(254)?)
        } else {
            32
        };
        let new = Self {
            block,
            blocks: both(4, 336)?,
            free: both(12, 344)?,
            inodes: fields.u32(0)?,
            inode_size,
            first_inode: if revision == 0 {
                FIRST_INODE
            } else {
                fields.u32(84)?.max(FIRST_INODE)
            },
            needs_replay: incompatible & RECOVER != 0,
            journal: fields.u32(224)?,
            typed_names: incompatible & 2 != 0,
            seed: seed(fields, incompatible, readable)?,
            is_64bit,
            first_block: u64::from(fields.u32(20)?),
            inodes_per_group: fields.u32(40)?,
            blocks_per_group: u64::from(fields.u32(32)?),
            descriptor_size,
            first_meta_group: (incompatible & META_GROUPS != 0)
                .then(|| fields.u32(260).map(u64::from))
                .transpose()?,
            sparse_copies: readable & SPARSE != 0,
        };
        new.check(size)?;
        Ok(new)
    }

    fn check(&self, size: u64) -> Result<()> {
        let bytes = self.blocks.checked_mul(self.block);
        ensure!(
            bytes.is_some_and(|bytes| bytes <= size),
            "it is cut short: its superblock says {} blocks of {} bytes",
            self.blocks,
            self.block
        );
        let power = |n: u64, from, to| n.is_power_of_two() && (from..=to).contains(&n);
        ensure!(
            power(self.inode_size, 128, self.block)
                && power(self.descriptor_size, 32, 1024.min(self.block))
                && (!self.is_64bit || self.descriptor_size >= 64)
                && self.inodes_per_group > 0
                && self.blocks_per_group > 0
                && self.first_block <= 1,
            "its superblock is malformed"
        );
        Ok(())
    }

    /// Returns an inode's group, and its index there.
    pub(super) fn group_of(&self, inode: u32) -> (u64, u32) {
        let index = inode.saturating_sub(1);
        (
            u64::from(index / self.inodes_per_group),
            index % self.inodes_per_group,
        )
    }

    /// Returns the block of a group descriptor, and its offset there.
    pub(super) fn descriptor(&self, group: u64) -> Result<(u64, usize)> {
        let per_block = self.block / self.descriptor_size;
        let (table, within) = (group / per_block, group % per_block);
        let block = match self.first_meta_group {
            // With meta groups, a block of descriptors is at the beginning of its groups.
            Some(first) if table >= first => {
                let first_of_them = table * per_block;
                let start = first_of_them.checked_mul(self.blocks_per_group);
                let start = start.and_then(|s| s.checked_add(self.first_block));
                let start = start.context("a group is beyond its end")?;
                start + u64::from(self.has_copy(first_of_them))
            }
            _ => 1024 / self.block + 1 + table,
        };
        Ok((block, usize::try_from(within * self.descriptor_size)?))
    }

    /// Returns whether a group has a copy of the superblock.
    fn has_copy(&self, group: u64) -> bool {
        let power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        !self.sparse_copies || group <= 1 || [3, 5, 7].into_iter().any(power_of)
    }

    /// Returns the first block of a group's inode table.
    pub(super) fn inode_table(&self, descriptors: &[u8], at: usize) -> Result<u64> {
        let fields = Fields(descriptors);
        let low = u64::from(fields.u32(at + 8)?);
        Ok(match self.is_64bit {
            true => low | (u64::from(fields.u32(at + 40)?) << 32),
            false => low,
        })
    }
}

fn seed(fields: Fields<'_>, incompatible: u32, readable: u32) -> Result<Option<u32>> {
    if readable & CHECKSUMS == 0 {
        return Ok(None);
    }
    let sum = crc32c(!0, fields.bytes(0, 1020)?);
    ensure!(
        sum == fields.u32(1020)?,
        "its superblock's checksum is wrong"
    );
    Ok(Some(match incompatible & SEED != 0 {
        true => fields.u32(624)?,
        false => crc32c(!0, fields.bytes(104, 16)?),
    }))
}
