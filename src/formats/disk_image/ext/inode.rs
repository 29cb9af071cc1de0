//! An inode: a file's attributes, and the map of its blocks.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use nix::sys::stat::{SFlag, makedev};
use nix::sys::time::TimeSpec;

use super::superblock::Superblock;
use crate::formats::disk_image::Unread;
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::formats::disk_image::node::Node;
use crate::fs::copy::attributes::Attributes;

/// `EXT4_*_FL`.
const ENCRYPTED: u32 = 0x800;
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const ATTRIBUTE_VALUE: u32 = 0x20_0000;
const INLINE_DATA: u32 = 0x1000_0000;

/// Size of the original inode, in bytes; later fields follow.
const BASE_SIZE: usize = 128;
/// Offset and size of the block map, or inline data, in bytes.
const MAP: usize = 40;
const MAP_SIZE: usize = 60;

/// An inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) size: u64,
    /// Initial value of the checksums of its blocks, if the filesystem has checksums.
    pub(super) seed: Option<u32>,
    /// Block of the extended attributes that do not fit into the inode; 0 for none.
    pub(super) attributes: u64,
    flags: u32,
    mode: u32,
    raw: Vec<u8>,
}

impl Inode {
    pub(super) fn parse(number: u32, raw: &[u8], superblock: &Superblock) -> Result<Self> {
        let fields = Fields(raw);
        let seed = superblock.seed.map(|seed| {
            let own = crc32c(seed, &number.to_le_bytes());
            fields
                .bytes(100, 4)
                .map(|generation| crc32c(own, generation))
        });
        let mode = u32::from(fields.u16(0)?);
        let is_regular = mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
        let attributes = u64::from(fields.u32(104)?);
        let new = Self {
            number,
            // For other types the upper half had another meaning.
            size: match is_regular {
                true => fields.split(4, 108)?,
                false => fields.u32(4)?.into(),
            },
            seed: seed.transpose()?,
            attributes: match superblock.is_64bit {
                true => attributes | (u64::from(fields.u16(118)?) << 32),
                false => attributes,
            },
            flags: fields.u32(32)?,
            mode,
            raw: raw.to_vec(),
        };
        // An unused inode may be all zeros, without a checksum; entries do not refer to it.
        if let Some(seed) = new.seed.filter(|_| new.mode != 0) {
            new.verify_checksum(seed)?;
        }
        Ok(new)
    }

    fn verify_checksum(&self, seed: u32) -> Result<()> {
        let fields = Fields(&self.raw);
        let mut clean = self.raw.clone();
        clean[124..126].fill(0);
        let mut stored = u32::from(fields.u16(124)?);
        let mut mask = 0xffff;
        if self.extra() >= 4 {
            clean[130..132].fill(0);
            stored |= u32::from(fields.u16(130)?) << 16;
            mask = u32::MAX;
        }
        ensure!(
            crc32c(seed, &clean) & mask == stored,
            "its checksum is wrong"
        );
        Ok(())
    }

    /// Returns the size of its later fields, in bytes.
    fn extra(&self) -> usize {
        let size = Fields(&self.raw).u16(BASE_SIZE).map_or(0, usize::from);
        match BASE_SIZE + size <= self.raw.len() {
            true => size,
            false => 0,
        }
    }

    /// Fails unless a directory entry may refer to it.
    pub(super) fn require_file(&self) -> Result<()> {
        let links = Fields(&self.raw).u16(26)?;
        ensure!(
            self.mode != 0 && links != 0 && self.flags & ATTRIBUTE_VALUE == 0,
            "a directory entry refers to inode {}, which is not a file",
            self.number
        );
        if self.flags & ENCRYPTED != 0 {
            return Err(Unread::new("an ext filesystem with encrypted directories").into());
        }
        Ok(())
    }

    /// Fails unless it holds the value of an extended attribute.
    pub(super) fn require_value(&self) -> Result<()> {
        ensure!(
            self.flags & ATTRIBUTE_VALUE != 0 && self.kind() == SFlag::S_IFREG,
            "an extended attribute refers to inode {}, which holds no value",
            self.number
        );
        Ok(())
    }

    pub(super) fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.mode & SFlag::S_IFMT.bits())
    }

    /// Returns the file's attributes.
    pub(super) fn node(
        &self,
        xattrs: Vec<(OsString, Vec<u8>)>,
        left_out: Vec<OsString>,
    ) -> Result<Node> {
        let fields = Fields(&self.raw);
        let kind = self.kind();
        let mask = [
            SFlag::S_IFREG,
            SFlag::S_IFDIR,
            SFlag::S_IFLNK,
            SFlag::S_IFCHR,
            SFlag::S_IFBLK,
            SFlag::S_IFIFO,
            SFlag::S_IFSOCK,
        ];
        ensure!(
            mask.contains(&kind),
            "inode {} has no valid file type",
            self.number
        );
        let id = |low, high| {
            Ok::<_, anyhow::Error>(
                u32::from(fields.u16(low)?) | (u32::from(fields.u16(high)?) << 16),
            )
        };
        Ok(Node {
            kind,
            attributes: Attributes {
                mode: self.mode & 0o7777,
                uid: id(2, 120)?,
                gid: id(24, 122)?,
                accessed: self.time(8, 140)?,
                modified: self.time(16, 136)?,
                xattrs,
            },
            left_out,
            size: self.size,
            links: fields.u16(26)?.into(),
            device: match kind {
                SFlag::S_IFCHR | SFlag::S_IFBLK => self.device()?,
                _ => 0,
            },
        })
    }

    /// Returns a time: 32 bits signed, and in later fields two more bits and nanoseconds.
    fn time(&self, at: usize, more: usize) -> Result<TimeSpec> {
        let fields = Fields(&self.raw);
        let seconds = i64::from(fields.u32(at)?.cast_signed());
        if more + 4 > BASE_SIZE + self.extra() {
            return Ok(TimeSpec::new(seconds, 0));
        }
        let more = fields.u32(more)?;
        let nanoseconds = i64::from(more >> 2);
        ensure!(nanoseconds < 1_000_000_000, "it has an invalid time");
        Ok(TimeSpec::new(
            seconds + (i64::from(more & 3) << 32),
            nanoseconds,
        ))
    }

    /// Returns a device number, in the old or the new encoding.
    fn device(&self) -> Result<u64> {
        let fields = Fields(&self.raw);
        let (old, new) = (fields.u32(MAP)?, fields.u32(MAP + 4)?);
        let (major, minor) = match old {
            0 => (
                (new & 0xf_ff00) >> 8,
                (new & 0xff) | ((new >> 12) & 0xf_ff00),
            ),
            old => ((old >> 8) & 0xff, old & 0xff),
        };
        Ok(makedev(major.into(), minor.into()))
    }

    /// Returns whether its block map has extents.
    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    /// Returns whether a directory's first block is an index block.
    pub(super) fn is_indexed(&self) -> bool {
        self.flags & INDEXED != 0
    }

    /// Returns whether it has inline data.
    pub(super) fn has_inline_data(&self) -> bool {
        self.flags & INLINE_DATA != 0
    }

    /// Returns its block map, or inline data.
    pub(super) fn map(&self) -> &[u8] {
        &self.raw[MAP..MAP + MAP_SIZE]
    }

    /// Returns the space for extended attributes in the inode, if there is any.
    pub(super) fn attribute_space(&self) -> Option<&[u8]> {
        match self.extra() {
            0 => None,
            extra => self.raw.get(BASE_SIZE + extra..),
        }
    }
}
