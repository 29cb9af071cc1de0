//! The partitions of a disk: MBR with logical ones, GPT, or a single filesystem without a table.
//!
//! A partition beyond the end of the image is an error: the image is cut short. The crates are called only where
//! untrusted tables cannot make them panic.

use std::fs::File;
use std::io::Read;

use anyhow::{Result, anyhow, bail, ensure};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;

use super::guarded::guarded;
use super::{Container, Filesystem, Window};

/// Sector size of an MBR, in bytes.
const SECTOR: u64 = 512;
/// The most logical partitions: as in Linux.
const LOGICAL: u32 = 60;
/// Bytes of a partition that are examined.
const HEAD: u64 = 72 << 10;

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    /// Number as in Linux, from 1; 0 for a disk without a table.
    pub number: u32,
    /// Start, in bytes.
    pub start: u64,
    /// Size, in bytes.
    pub size: u64,
    /// Its `PARTUUID=`, in lower case.
    pub part_uuid: Option<String>,
    /// Its `PARTLABEL=`.
    pub part_label: Option<String>,
    /// Its filesystem, if netbe knows it.
    pub filesystem: Option<Filesystem>,
    /// Its other content, if it has no filesystem that netbe knows.
    pub container: Option<Container>,
    /// Its filesystem's `UUID=`.
    pub uuid: Option<String>,
    /// Its filesystem's `LABEL=`.
    pub label: Option<String>,
}

/// Returns whether a disk with these first bytes has a valid partition table.
pub fn has_partitions(head: &[u8]) -> bool {
    gpt_at(head).is_some() || has_mbr(head)
}

/// Returns the partitions of a disk in order; one with number 0 if there is no table.
pub fn partitions(disk: &File, size: u64) -> Result<Vec<Partition>> {
    let whole = Window::new(disk, 0, size);
    let head = whole.head(HEAD)?;
    let mut found = match gpt_at(&head) {
        Some(block) => gpt(disk, size, block)?,
        None if has_mbr(&head) => mbr(disk, size)?,
        None => vec![empty(0, 0, size)],
    };
    for partition in &mut found {
        let end = partition.start.checked_add(partition.size);
        ensure!(
            end.is_some_and(|end| end <= size),
            "the disk image is cut short: partition {} leads past its end",
            partition.number
        );
        let head = Window::new(disk, partition.start, partition.size).head(HEAD)?;
        partition.filesystem = Filesystem::detect(&head);
        if let Some(filesystem) = partition.filesystem {
            partition.uuid = filesystem.uuid(&head);
            partition.label = filesystem.label(&head);
        } else {
            partition.container = Container::detect(&head);
        }
    }
    Ok(found)
}

fn empty(number: u32, start: u64, size: u64) -> Partition {
    Partition {
        number,
        start,
        size,
        ..Partition::default()
    }
}

/// Returns the block size of a disk with a GPT, which is in the second block.
fn gpt_at(head: &[u8]) -> Option<LogicalBlockSize> {
    let at = |offset: usize| {
        head.get(offset..)
            .is_some_and(|b| b.starts_with(b"EFI PART"))
    };
    if at(512) {
        Some(LogicalBlockSize::Lb512)
    } else if at(4096) {
        Some(LogicalBlockSize::Lb4096)
    } else {
        None
    }
}

/// A FAT boot sector has the same signature, and code in place of the table.
fn has_mbr(head: &[u8]) -> bool {
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return false;
    }
    let mut used = head[446..510].chunks(16).filter(|e| e[4] != 0).peekable();
    let sane = |e: &[u8]| matches!(e[0], 0 | 0x80) && e[8..12] != [0; 4] && e[12..16] != [0; 4];
    used.peek().is_some() && used.all(sane)
}

fn gpt(disk: &File, size: u64, block: LogicalBlockSize) -> Result<Vec<Partition>> {
    let unit = u64::from(block);
    // The crate requires entries of 128 bytes, and trusts any count. The backup is in the last whole block.
    for offset in [unit, (size / unit).saturating_sub(1) * unit] {
        let header = Window::new(disk, offset, unit).head(unit)?;
        if header.len() >= 92 && header.starts_with(b"EFI PART") {
            let field = |at: usize| {
                u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
            };
            ensure!(
                field(84) == 128 && field(80) <= 4096,
                "the disk image has a partition table (GPT) of a form that netbe cannot read"
            );
        }
    }
    let config = GptConfig::new().writable(false).logical_block_size(block);
    let table = guarded("partition table (GPT)", || {
        let opened = config.open_from_device(Window::new(disk, 0, size));
        opened.map_err(|e| anyhow!("the disk image's partition table (GPT) is damaged: {e}"))
    })?;
    let mut found = Vec::new();
    for (number, entry) in table.partitions() {
        let blocks = entry
            .last_lba
            .checked_sub(entry.first_lba)
            .and_then(|n| n.checked_add(1));
        let (Some(start), Some(size)) = (
            entry.first_lba.checked_mul(unit),
            blocks.and_then(|n| n.checked_mul(unit)),
        ) else {
            bail!("partition {number} of the disk image is malformed");
        };
        let mut partition = empty(*number, start, size);
        partition.part_uuid = Some(entry.part_guid.to_string().to_lowercase());
        partition.part_label = Some(entry.name.clone()).filter(|n| !n.is_empty());
        found.push(partition);
    }
    Ok(found)
}

/// An entry of an MBR, or of a link to a logical partition; in sectors.
struct Entry {
    kind: u8,
    start: u64,
    size: u64,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.kind != 0
    }

    /// Returns whether it holds logical partitions: the kernel's block/partitions/msdos.c, and hidden ones.
    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85 | 0xc5 | 0xd5)
    }
}

fn mbr(disk: &File, size: u64) -> Result<Vec<Partition>> {
    let sector = sector_at(disk, size, 0)?;
    let signature = number(&sector, 440);
    let named = |number: u32, start: u64, entry: &Entry| {
        let mut partition = empty(number, start * SECTOR, entry.size * SECTOR);
        partition.part_uuid = Some(format!("{signature:08x}-{number:02x}"));
        partition
    };
    let mut found = Vec::new();
    let mut extended = None;
    for (number, entry) in (1..).zip(entries(&sector)) {
        if entry.is_extended() {
            extended = extended.or(Some(entry.start));
        } else if entry.is_used() {
            found.push(named(number, entry.start, &entry));
        }
    }
    let Some(extended) = extended else {
        return Ok(found);
    };
    // Logical partitions are a chain: a partition is relative to its link, a link to the first one.
    let mut link = extended;
    for number in 5..5 + LOGICAL {
        let Ok(sector) = sector_at(disk, size, link * SECTOR) else {
            // An extended partition without logical ones may have no link.
            break;
        };
        let [partition, next, ..] = entries(&sector);
        if partition.is_used() {
            found.push(named(number, link + partition.start, &partition));
        }
        if !next.is_extended() || next.start == 0 {
            break;
        }
        link = extended + next.start;
    }
    Ok(found)
}

/// Returns the entries of a sector with a table.
fn entries(sector: &[u8; SECTOR as usize]) -> [Entry; 4] {
    [446, 462, 478, 494].map(|at| Entry {
        kind: sector[at + 4],
        start: number(sector, at + 8).into(),
        size: number(sector, at + 12).into(),
    })
}

fn number(sector: &[u8; SECTOR as usize], at: usize) -> u32 {
    u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]])
}

/// Returns a sector that ends with the signature of a table.
fn sector_at(disk: &File, size: u64, offset: u64) -> Result<[u8; SECTOR as usize]> {
    let mut sector = [0; SECTOR as usize];
    Window::new(disk, offset, size.saturating_sub(offset))
        .read_exact(&mut sector)
        .map_err(|_| anyhow!("the disk image is cut short"))?;
    ensure!(
        sector.ends_with(&[0x55, 0xaa]),
        "the disk image's partition table (MBR) is damaged: it has no signature"
    );
    Ok(sector)
}
