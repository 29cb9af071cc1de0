//! Extended attributes: in the inode, in a block, large values in inodes.
//!
//! ACLs are converted from the disk format to the kernel's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result, bail, ensure};

use super::Ext;
use super::inode::Inode;
use crate::formats::disk_image::fields::{Fields, crc32c};
use crate::fs::copy::attributes::{ACL_ACCESS, ACL_DEFAULT};

const MAGIC: u32 = 0xea02_0000;
/// Size of the header of an attribute block, and of an entry without its name, in bytes.
const HEADER: usize = 32;
const ENTRY: usize = 16;
/// The longest value that the kernel accepts, in bytes.
const VALUE_MAX: usize = 64 << 10;
/// The most blocks of a value, indirect ones included: the smallest have 1 KiB.
const VALUE_BLOCKS: u64 = 256;
/// Limits of one file: number of attributes, and size of all values in bytes.
const ENTRIES_MAX: usize = 4096;
const VALUES_MAX: usize = 1 << 20;
/// Name prefixes, which are stored as numbers: `EXT4_XATTR_INDEX_*`.
const PREFIXES: [(u8, &str); 5] = [
    (1, "user."),
    (2, ACL_ACCESS),
    (3, ACL_DEFAULT),
    (4, "trusted."),
    (6, "security."),
];
/// Prefix number of the filesystem's own attributes, and name of the inline data.
const SYSTEM: u8 = 7;
const DATA: &[u8] = b"data";

/// A file's extended attributes.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Names and values, as for the kernel.
    pub(super) portable: Vec<(OsString, Vec<u8>)>,
    /// Names of those that are not portable.
    pub(super) left_out: Vec<OsString>,
}

/// Returns all extended attributes of a file.
pub(super) fn all(ext: &Ext<'_>, inode: &Inode) -> Result<Found> {
    let (mut found, mut total) = (Found::default(), 0_usize);
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
        total += value.len();
        ensure!(total <= VALUES_MAX, "the values are too long");
        let (name, value) = match number {
            2 | 3 => (prefix.as_bytes().to_vec(), acl(&value)?),
            _ => ([prefix.as_bytes(), entry.name].concat(), value),
        };
        ensure!(
            !name.contains(&0),
            "an extended attribute has an invalid name"
        );
        found.portable.push((OsString::from_vec(name), value));
        Ok(())
    })
    .with_context(|| format!("reading the attributes of the file {}", inode.number))?;
    Ok(found)
}

/// Returns inline data: in the place of the block map, continued in an attribute.
pub(super) fn inline_data(ext: &Ext<'_>, inode: &Inode) -> Result<Vec<u8>> {
    let mut data = inode.map().to_vec();
    data.extend(inline_attribute(ext, inode)?);
    if inode.size > data.len() as u64 {
        bail!("inode {} has less inline data than its size", inode.number);
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

/// An attribute as stored.
struct Entry<'a> {
    prefix: u8,
    name: &'a [u8],
    /// The bytes that `offset` is relative to.
    values: &'a [u8],
    offset: usize,
    size: usize,
    /// Inode with the value; 0 for none.
    inode: u32,
}

impl Entry<'_> {
    fn value(&self, ext: &Ext<'_>) -> Result<Vec<u8>> {
        ensure!(
            self.size <= VALUE_MAX,
            "an extended attribute's value is too long"
        );
        if self.inode == 0 {
            return Ok(Fields(self.values).bytes(self.offset, self.size)?.to_vec());
        }
        let inode = ext.inode(self.inode)?;
        inode.require_value()?;
        ensure!(
            inode.size == self.size as u64,
            "an extended attribute's value is truncated"
        );
        // Files of the same value share its inode: its blocks are counted apart.
        let unclaimed = ext.unclaimed.replace(VALUE_BLOCKS);
        let mut value = Vec::new();
        let read = ext.data(&inode, &mut |at, bytes| {
            value.resize(usize::try_from(at)?, 0);
            value.extend(bytes);
            Ok(())
        });
        ext.unclaimed.set(unclaimed);
        read?;
        value.resize(self.size, 0);
        Ok(value)
    }
}

fn each(ext: &Ext<'_>, inode: &Inode, on: &mut dyn FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
    if let Some(space) = inode.attribute_space()
        && Fields(space).u32(0).is_ok_and(|magic| magic == MAGIC)
    {
        entries(&space[4..], &space[4..], on)?;
    }
    if inode.attributes != 0 {
        let block = ext.block(inode.attributes)?;
        ensure!(
            Fields(&block).u32(0)? == MAGIC,
            "the attribute block is malformed"
        );
        verify_checksum(ext, inode.attributes, &block)?;
        entries(&block[HEADER..], &block, on)?;
    }
    Ok(())
}

fn entries(
    mut list: &[u8],
    values: &[u8],
    on: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    for _ in 0..ENTRIES_MAX {
        let fields = Fields(list);
        // Without space for an end mark, the list ends with its space.
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
    bail!("the file has too many");
}

fn verify_checksum(ext: &Ext<'_>, number: u64, block: &[u8]) -> Result<()> {
    let Some(seed) = ext.superblock.seed else {
        return Ok(());
    };
    let mut clean = block.to_vec();
    clean[16..20].fill(0);
    let sum = crc32c(crc32c(seed, &number.to_le_bytes()), &clean);
    ensure!(
        sum == Fields(block).u32(16)?,
        "the attribute block's checksum is wrong"
    );
    Ok(())
}

/// Converts an ACL from the disk format (`ext4_acl_header`) to the kernel's (`posix_acl_xattr_header`).
fn acl(stored: &[u8]) -> Result<Vec<u8>> {
    const STORED_VERSION: u32 = 1;
    const VERSION: u32 = 2;
    const UNDEFINED: u32 = u32::MAX;
    let fields = Fields(stored);
    ensure!(fields.u32(0)? == STORED_VERSION, "an ACL is malformed");
    let mut value = VERSION.to_le_bytes().to_vec();
    let mut at = 4;
    while at < stored.len() {
        let tag = fields.u16(at)?;
        let (id, length) = match tag {
            // Owner, group, mask and other have no ID.
            1 | 4 | 0x10 | 0x20 => (UNDEFINED, 4),
            2 | 8 => (fields.u32(at + 4)?, 8),
            _ => bail!("an ACL is malformed"),
        };
        value.extend(fields.bytes(at, 4)?);
        value.extend(id.to_le_bytes());
        at += length;
    }
    Ok(value)
}
