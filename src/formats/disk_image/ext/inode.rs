//! One inode: what is known of a file, and where its content is.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use nix::sys::stat::{SFlag, makedev};
use nix::sys::time::TimeSpec;

use super::superblock::Superblock;
use crate::formats::disk_image::Unread;
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::formats::disk_image::reader::Node;
use crate::fs::copy::attributes::Attributes;

/// `EXT4_*_FL`.
const ENCRYPTED: u32 = 0x800;
const SORTED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const OF_ATTRIBUTE: u32 = 0x20_0000;
const INLINE_DATA: u32 = 0x1000_0000;

/// How large an inode of old is, in bytes; what is behind was added later.
const OLD: usize = 128;
/// Where the map of blocks stands, or what is there in its place, and how long it is, in bytes.
const MAP: usize = 40;
const MAP_SIZE: usize = 60;

/// One inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) size: u64,
    /// What checksums of its other structures begin with, where there are some.
    pub(super) seed: Option<u32>,
    /// The block with attributes that have no room in it; 0 for none.
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
            // Of others the upper half once meant something else.
            size: match is_regular {
                true => fields.split(4, 108)?,
                false => fields.u32(4)?.into(),
            },
            seed: seed.transpose()?,
            attributes: match superblock.wide {
                true => attributes | (u64::from(fields.u16(118)?) << 32),
                false => attributes,
            },
            flags: fields.u32(32)?,
            mode,
            raw: raw.to_vec(),
        };
        // One that was never used may be zeros, sum and all; names do not lead to it.
        if let Some(seed) = new.seed.filter(|_| new.mode != 0) {
            new.require_sum(seed)?;
        }
        Ok(new)
    }

    fn require_sum(&self, seed: u32) -> Result<()> {
        let fields = Fields(&self.raw);
        let mut clean = self.raw.clone();
        clean[124..126].fill(0);
        let mut kept = u32::from(fields.u16(124)?);
        let mut known = 0xffff;
        if self.extra() >= 4 {
            clean[130..132].fill(0);
            kept |= u32::from(fields.u16(130)?) << 16;
            known = u32::MAX;
        }
        ensure!(crc32c(seed, &clean) & known == kept, "it is damaged");
        Ok(())
    }

    /// Returns how much of what was added later it has, in bytes.
    fn extra(&self) -> usize {
        let said = Fields(&self.raw).u16(OLD).map_or(0, usize::from);
        match OLD + said <= self.raw.len() {
            true => said,
            false => 0,
        }
    }

    /// Fails unless names may lead to it.
    pub(super) fn require_file(&self) -> Result<()> {
        let links = Fields(&self.raw).u16(26)?;
        ensure!(
            self.mode != 0 && links != 0 && self.flags & OF_ATTRIBUTE == 0,
            "a name leads to {}, which is no file",
            self.number
        );
        if self.flags & ENCRYPTED != 0 {
            return Err(Unread::new("an ext filesystem with encrypted directories").into());
        }
        Ok(())
    }

    /// Fails unless it is one that holds the value of an attribute.
    pub(super) fn require_value(&self) -> Result<()> {
        ensure!(
            self.flags & OF_ATTRIBUTE != 0 && self.kind() == SFlag::S_IFREG,
            "an attribute's value is in {}, which holds none",
            self.number
        );
        Ok(())
    }

    pub(super) fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.mode & SFlag::S_IFMT.bits())
    }

    /// Returns what is known of the file.
    pub(super) fn node(
        &self,
        xattrs: Vec<(OsString, Vec<u8>)>,
        left_out: Vec<OsString>,
    ) -> Result<Node> {
        let fields = Fields(&self.raw);
        let kind = self.kind();
        let known = [
            SFlag::S_IFREG,
            SFlag::S_IFDIR,
            SFlag::S_IFLNK,
            SFlag::S_IFCHR,
            SFlag::S_IFBLK,
            SFlag::S_IFIFO,
            SFlag::S_IFSOCK,
        ];
        ensure!(
            known.contains(&kind),
            "{} is of no kind that there is",
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

    /// Returns a time: 32 bits with a sign, and where there is room two bits beyond them, and nanoseconds.
    fn time(&self, at: usize, more: usize) -> Result<TimeSpec> {
        let fields = Fields(&self.raw);
        let seconds = i64::from(fields.u32(at)?.cast_signed());
        if more + 4 > OLD + self.extra() {
            return Ok(TimeSpec::new(seconds, 0));
        }
        let more = fields.u32(more)?;
        let nanoseconds = i64::from(more >> 2);
        ensure!(nanoseconds < 1_000_000_000, "a time in it is none");
        Ok(TimeSpec::new(
            seconds + (i64::from(more & 3) << 32),
            nanoseconds,
        ))
    }

    /// Returns what a device stands for: an old and small number, or a new one behind it.
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

    /// Returns whether its map is one of extents.
    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    /// Returns whether the first block of a directory only leads to others, besides two names.
    pub(super) fn is_sorted(&self) -> bool {
        self.flags & SORTED != 0
    }

    /// Returns whether its content is in itself.
    pub(super) fn has_inline_data(&self) -> bool {
        self.flags & INLINE_DATA != 0
    }

    /// Returns the map of its blocks, or what is there in its place.
    pub(super) fn map(&self) -> &[u8] {
        &self.raw[MAP..MAP + MAP_SIZE]
    }

    /// Returns the place in it for attributes, where there is one.
    pub(super) fn room(&self) -> Option<&[u8]> {
        match self.extra() {
            0 => None,
            extra => self.raw.get(OLD + extra..),
        }
    }
}
