//! Reads ext2, ext3 and ext4 in user space.
//!
//! Results are those of the kernel's driver: extents and indirect blocks, inline data, extended attributes of all
//! kinds, a journal that needs recovery. Checksums are verified where present. Nothing is written: the journal's
//! copies override blocks as they are read. Encrypted directories and unknown features are refused. Offsets:
//! fs/ext4/ext4.h and linux/jbd2.h.

mod directory;
mod extents;
mod inode;
mod journal;
mod superblock;
mod xattr;

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use self::inode::Inode;
use self::journal::Journal;
use self::superblock::Superblock;
use super::node::{Node, OnData, OnName};

/// Inode number of the root directory.
pub(super) const TOP: u32 = 2;
/// Number of cached blocks.
const CACHED_BLOCKS: usize = 16;
/// Bytes of a file read at once.
const READ_SIZE: u64 = 1 << 20;
/// The longest symbolic link, in bytes.
const LINK_MAX: u64 = 4096;

/// An ext filesystem.
#[derive(Debug)]
pub(super) struct Ext<'f> {
    disk: &'f File,
    start: u64,
    superblock: Superblock,
    journal: Journal,
    /// Cached blocks by number, the last used first.
    cache: RefCell<Vec<(u64, Rc<[u8]>)>>,
    /// Blocks not yet counted as parts of files: with more than there are, some are in two files.
    unclaimed: Cell<u64>,
}

impl<'f> Ext<'f> {
    /// Opens the filesystem in a range of a disk.
    pub(super) fn open(disk: &'f File, start: u64, size: u64) -> Result<Self> {
        let mut head = [0; 1024];
        disk.read_exact_at(&mut head, start.saturating_add(1024))
            .context("reading its superblock")?;
        let superblock = Superblock::parse(&head, size)?;
        let mut ext = Self {
            disk,
            start,
            superblock,
            journal: Journal::default(),
            cache: RefCell::default(),
            unclaimed: Cell::new(0),
        };
        ext.begin();
        if ext.superblock.needs_replay {
            ext.journal = Journal::read(&ext).context("reading its journal")?;
            ext.cache.take();
            // The journal may have a newer superblock.
            let place = 1024 / ext.superblock.block;
            let block = ext.block(place)?;
            let within = usize::try_from(1024 % ext.superblock.block)?;
            let head = block.get(within..within + 1024);
            ext.superblock = Superblock::parse(head.context("it has no superblock")?, size)?;
        }
        Ok(ext)
    }

    /// Returns a block, with the journal applied.
    fn block(&self, number: u64) -> Result<Rc<[u8]>> {
        let mut cache = self.cache.borrow_mut();
        let found = cache.iter().position(|(n, _)| *n == number);
        let block = match found {
            Some(place) => cache.remove(place),
            None => {
                let mut bytes = vec![0; usize::try_from(self.superblock.block)?];
                self.read(number, &mut bytes)?;
                cache.truncate(CACHED_BLOCKS - 1);
                (number, bytes.into())
            }
        };
        let bytes = Rc::clone(&block.1);
        cache.insert(0, block);
        Ok(bytes)
    }

    /// Reads blocks, with the journal applied.
    fn read(&self, first: u64, into: &mut [u8]) -> Result<()> {
        let size = self.superblock.block;
        let count = into.len() as u64 / size;
        self.read_raw(first, into)?;
        for (number, copy) in self.journal.between(first, first + count) {
            let at = usize::try_from((number - first) * size)?;
            let place = &mut into[at..at + usize::try_from(size)?];
            self.read_raw(copy.block, place)?;
            if copy.escaped {
                place[..4].copy_from_slice(&journal::MAGIC.to_be_bytes());
            }
        }
        Ok(())
    }

    /// Reads blocks from the disk.
    fn read_raw(&self, first: u64, into: &mut [u8]) -> Result<()> {
        let size = self.superblock.block;
        let end = first.checked_add(into.len() as u64 / size);
        ensure!(
            end.is_some_and(|end| end <= self.superblock.blocks),
            "it refers to block {first}, which is beyond its end"
        );
        self.disk
            .read_exact_at(into, self.start + first * size)
            .with_context(|| format!("reading the block {first}"))
    }

    /// Counts blocks as parts of a file.
    fn reserve(&self, blocks: u64) -> Result<()> {
        crate::fs::interrupt::check()?;
        let unclaimed = self.unclaimed.get().checked_sub(blocks);
        let unclaimed = unclaimed.context("its files have more blocks than there are")?;
        self.unclaimed.set(unclaimed);
        Ok(())
    }

    /// Reads an inode.
    fn inode(&self, number: u32) -> Result<Inode> {
        let superblock = &self.superblock;
        ensure!(
            number >= 1 && number <= superblock.inodes,
            "it refers to inode {number}, which does not exist"
        );
        let (group, index) = superblock.group_of(number);
        let (block, at) = superblock.descriptor(group)?;
        let descriptor = self.block(block)?;
        let table = superblock.inode_table(&descriptor, at)?;
        let offset = u64::from(index) * superblock.inode_size;
        let block = table.checked_add(offset / superblock.block);
        let block = self.block(block.context("an inode is beyond its end")?)?;
        let at = usize::try_from(offset % superblock.block)?;
        let raw = block.get(at..at + usize::try_from(superblock.inode_size)?);
        Inode::parse(number, raw.context("an inode is truncated")?, superblock)
            .with_context(|| format!("reading the file {number}"))
    }

    /// Reads the inode of a directory entry.
    fn file(&self, number: u32) -> Result<Inode> {
        ensure!(
            number == TOP || number >= self.superblock.first_inode,
            "a directory entry refers to inode {number}, which is reserved"
        );
        let inode = self.inode(number)?;
        inode.require_file()?;
        Ok(inode)
    }

    /// Iterates over a file's data, up to its size.
    fn data(&self, inode: &Inode, on_data: OnData<'_>) -> Result<()> {
        let (block, size) = (self.superblock.block, inode.size);
        let mut buffer = Vec::new();
        extents::runs(self, inode, &mut |run| {
            let mut done = 0;
            while done < run.count {
                crate::fs::interrupt::check()?;
                let at = (run.logical + done).saturating_mul(block);
                if at >= size {
                    break;
                }
                let count = (run.count - done).min((READ_SIZE / block).max(1));
                buffer.resize(usize::try_from(count * block)?, 0);
                self.read(run.physical + done, &mut buffer)?;
                let length = usize::try_from((size - at).min(count * block))?;
                on_data(at, &buffer[..length])?;
                done += count;
            }
            Ok(())
        })
    }

    /// Starts a new walk: resets the limits.
    pub(super) fn begin(&self) {
        self.unclaimed.set(self.superblock.blocks);
    }

    /// Returns a file's attributes.
    pub(super) fn node(&self, number: u32) -> Result<Node> {
        let inode = self.file(number)?;
        let found = xattr::all(self, &inode)?;
        inode.node(found.portable, found.left_out)
    }

    /// Iterates over a directory, without `.` and `..`.
    pub(super) fn names(&self, number: u32, on_name: OnName<'_>) -> Result<()> {
        directory::names(self, &self.file(number)?, on_name)
    }

    /// Returns the target of a symbolic link.
    pub(super) fn target(&self, number: u32) -> Result<OsString> {
        let inode = self.file(number)?;
        let mut target = Vec::new();
        ensure!(
            inode.size > 0 && inode.size <= LINK_MAX,
            "it has a symbolic link of {} bytes",
            inode.size
        );
        let size = usize::try_from(inode.size)?;
        if inode.has_inline_data() {
            target = xattr::inline_data(self, &inode)?;
            target.truncate(size);
        } else if size < inode.map().len() {
            target.extend(&inode.map()[..size]);
        } else {
            self.data(&inode, &mut |at, bytes| {
                target.resize(usize::try_from(at)?, 0);
                target.extend(bytes);
                Ok(())
            })?;
        }
        if target.len() != size || target.contains(&0) {
            bail!("it has a symbolic link without a target");
        }
        Ok(OsStr::from_bytes(&target).to_os_string())
    }

    /// Iterates over a regular file's data.
    pub(super) fn content(&self, number: u32, on_data: OnData<'_>) -> Result<()> {
        let inode = self.file(number)?;
        if inode.has_inline_data() {
            let data = xattr::inline_data(self, &inode)?;
            let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
            return on_data(0, &data[..size.min(data.len())]);
        }
        self.data(&inode, on_data)
    }

    /// Returns the number of bytes used, for progress.
    pub(super) fn used(&self) -> Option<u64> {
        let superblock = &self.superblock;
        let used = superblock.blocks.checked_sub(superblock.free)?;
        used.checked_mul(superblock.block)
    }
}
