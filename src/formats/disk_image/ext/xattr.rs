//! Extended attributes: in the inode, in a block of their own, large values in inodes of their own.
//!
//! Access lists are kept shorter than the kernel hands them out; here they become what it takes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result, bail, ensure};

use super::Ext;
use super::inode::Inode;
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::fs::copy::attributes::{ACL_ACCESS, ACL_DEFAULT};

const MAGIC: u32 = 0xea02_0000;
/// The size of what a block of attributes begins with, and of what stands before each name, in bytes.
const HEADER: usize = 32;
const ENTRY: usize = 16;
/// The longest value that the kernel takes, in bytes.
const LONGEST: usize = 64 << 10;
/// The most blocks that one has, those that only lead to others too: the smallest ones hold 1 KiB.
const BLOCKS: u64 = 256;
/// The most attributes of one file, and the most that their values have together, in bytes.
const MANY: usize = 4096;
const TOGETHER: usize = 1 << 20;
/// The names whose beginning is kept as a number: `EXT4_XATTR_INDEX_*`.
const PREFIXES: [(u8, &str); 5] = [
    (1, "user."),
    (2, ACL_ACCESS),
    (3, ACL_DEFAULT),
    (4, "trusted."),
    (6, "security."),
];
/// The number of what is the filesystem's own, and the name of data that is in an inode.
const SYSTEM: u8 = 7;
const DATA: &[u8] = b"data";

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whole names and values, as the kernel takes them.
    pub(super) travelling: Vec<(OsString, Vec<u8>)>,
    /// Names of those that mean nothing elsewhere.
    pub(super) left_out: Vec<OsString>,
}

/// Returns all of a file's attributes.
pub(super) fn all(ext: &Ext<'_>, inode: &Inode) -> Result<Found> {
    let (mut found, mut together) = (Found::default(), 0_usize);
    each(ext, inode, &mut |entry| {
        let known = PREFIXES.iter().find(|(number, _)| *number == entry.prefix);
        let Some((number, prefix)) = known else {
            if (entry.prefix, entry.name) != (SYSTEM, DATA) {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                found.left_out.push(format!("system.{name}").into());
            }
            return Ok(());
        };
        let value = entry.value(ext)?;
        together += value.len();
        ensure!(together <= TOGETHER, "they are too long");
        let (name, value) = match number {
            2 | 3 => (prefix.as_bytes().to_vec(), access_list(&value)?),
            _ => ([prefix.as_bytes(), entry.name].concat(), value),
        };
        ensure!(!name.contains(&0), "an attribute has a name that is none");
        found.travelling.push((OsString::from_vec(name), value));
        Ok(())
    })
    .with_context(|| format!("reading the attributes of the file {}", inode.number))?;
    Ok(found)
}

/// Returns what is in an inode as content: in the place of the map, and behind that in an attribute.
pub(super) fn inline_data(ext: &Ext<'_>, inode: &Inode) -> Result<Vec<u8>> {
    let mut data = inode.map().to_vec();
    data.extend(inline_attribute(ext, inode)?);
    if inode.size > data.len() as u64 {
        bail!("{} says that it has more in it than it has", inode.number);
    }
    Ok(data)
}

fn inline_attribute(ext: &Ext<'_>, inode: &Inode) -> Result<Vec<u8>> {
    let mut found = None;
    each(ext, inode, &mut |entry| {
        if (entry.prefix, entry.name) == (SYSTEM, DATA) {
            found = Some(entry.value(ext)?);
        }
        Ok(())
    })?;
    Ok(found.unwrap_or_default())
}

/// One attribute, where it is kept.
struct Entry<'a> {
    prefix: u8,
    name: &'a [u8],
    /// What its value's place is counted from.
    values: &'a [u8],
    offset: usize,
    size: usize,
    /// The inode that holds the value; 0 for none.
    inode: u32,
}

impl Entry<'_> {
    fn value(&self, ext: &Ext<'_>) -> Result<Vec<u8>> {
        ensure!(self.size <= LONGEST, "an attribute's value is too long");
        if self.inode == 0 {
            return Ok(Fields(self.values).bytes(self.offset, self.size)?.to_vec());
        }
        let inode = ext.inode(self.inode)?;
        inode.require_value()?;
        ensure!(
            inode.size == self.size as u64,
            "an attribute's value is not whole"
        );
        // Files with the same value share it, so its blocks are nobody's own; it has few.
        let left = ext.left.replace(BLOCKS);
        let mut value = Vec::new();
        let read = ext.stretches(&inode, &mut |at, bytes| {
            value.resize(usize::try_from(at)?, 0);
            value.extend(bytes);
            Ok(())
        });
        ext.left.set(left);
        read?;
        value.resize(self.size, 0);
        Ok(value)
    }
}

fn each(ext: &Ext<'_>, inode: &Inode, on: &mut dyn FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
    if let Some(room) = inode.room()
        && Fields(room).u32(0).is_ok_and(|magic| magic == MAGIC)
    {
        entries(&room[4..], &room[4..], on)?;
    }
    if inode.attributes != 0 {
        let block = ext.block(inode.attributes)?;
        ensure!(Fields(&block).u32(0)? == MAGIC, "they make no sense");
        require_sum(ext, inode.attributes, &block)?;
        entries(&block[HEADER..], &block, on)?;
    }
    Ok(())
}

fn entries(
    mut list: &[u8],
    values: &[u8],
    on: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    for _ in 0..MANY {
        let fields = Fields(list);
        // Where there is no room for an end, the place itself ends.
        if list.len() < 4 || fields.u32(0)? == 0 {
            return Ok(());
        }
        let length = usize::from(fields.u8(0)?);
        on(Entry {
            prefix: fields.u8(1)?,
            name: fields.bytes(ENTRY, length)?,
            values,
            offset: fields.u16(2)?.into(),
            size: usize::try_from(fields.u32(8)?)?,
            inode: fields.u32(4)?,
        })?;
        let next = (ENTRY + length).next_multiple_of(4);
        list = list.get(next..).unwrap_or_default();
    }
    bail!("there are too many")
}

fn require_sum(ext: &Ext<'_>, number: u64, block: &[u8]) -> Result<()> {
    let Some(seed) = ext.superblock.seed else {
        return Ok(());
    };
    let mut clean = block.to_vec();
    clean[16..20].fill(0);
    let sum = crc32c(crc32c(seed, &number.to_le_bytes()), &clean);
    ensure!(sum == Fields(block).u32(16)?, "they are damaged");
    Ok(())
}

/// Turns an access list as it is kept (`ext4_acl_header`) into the kernel's value (`posix_acl_xattr_header`).
fn access_list(kept: &[u8]) -> Result<Vec<u8>> {
    const STORED_VERSION: u32 = 1;
    const VERSION: u32 = 2;
    const UNDEFINED: u32 = u32::MAX;
    let fields = Fields(kept);
    ensure!(
        fields.u32(0)? == STORED_VERSION,
        "an access list makes no sense"
    );
    let mut value = VERSION.to_le_bytes().to_vec();
    let mut at = 4;
    while at < kept.len() {
        let tag = fields.u16(at)?;
        let (id, length) = match tag {
            // The owner, the group, the mask, and others are nobody in particular.
            1 | 4 | 0x10 | 0x20 => (UNDEFINED, 4),
            2 | 8 => (fields.u32(at + 4)?, 8),
            _ => bail!("an access list makes no sense"),
        };
        value.extend(fields.bytes(at, 4)?);
        value.extend(id.to_le_bytes());
        at += length;
    }
    Ok(value)
}
