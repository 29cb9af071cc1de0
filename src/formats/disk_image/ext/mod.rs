//! ext2, ext3 and ext4, read in user space.
//!
//! Everything that makes a file what it is comes out as the kernel's own driver would give it: both kinds of block maps,
//! data inside of inodes, attributes wherever they are kept, a journal that was not played back. Checksums are held to
//! where the filesystem has them. Nothing is written: what the journal holds is laid over what is read. Encrypted
//! directories, and what the reader does not know, are refused. Offsets are those of fs/ext4/ext4.h and linux/jbd2.h.

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
use super::reader::{Id, Node, OnData, OnName, Reader};

/// The number of the top directory.
const TOP: u32 = 2;
/// How many blocks are kept.
const CACHED_BLOCKS: usize = 16;
/// How much of a file is read at once, in bytes.
const PIECE: u64 = 1 << 20;
/// The longest target of a link, in bytes.
const LINK: u64 = 4096;

/// One filesystem.
#[derive(Debug)]
pub(super) struct Ext<'f> {
    disk: &'f File,
    start: u64,
    superblock: Superblock,
    journal: Journal,
    /// Blocks with their number, the one used last in front.
    kept: RefCell<Vec<(u64, Rc<[u8]>)>>,
    /// How many blocks may still be parts of files: more than there are means that some are in two.
    left: Cell<u64>,
}

impl<'f> Ext<'f> {
    /// Opens the filesystem in a stretch of a disk.
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
            kept: RefCell::default(),
            left: Cell::new(0),
        };
        ext.begin();
        if ext.superblock.needs_replay {
            ext.journal = Journal::read(&ext).context("reading its journal")?;
            ext.kept.take();
            // What the journal holds may be a newer one of it.
            let place = 1024 / ext.superblock.block;
            let block = ext.block(place)?;
            let within = usize::try_from(1024 % ext.superblock.block)?;
            let head = block.get(within..within + 1024);
            ext.superblock = Superblock::parse(head.context("it has no superblock")?, size)?;
        }
        Ok(ext)
    }

    /// Returns one block, as it is with the journal played back.
    fn block(&self, number: u64) -> Result<Rc<[u8]>> {
        let mut kept = self.kept.borrow_mut();
        let found = kept.iter().position(|(n, _)| *n == number);
        let block = match found {
            Some(place) => kept.remove(place),
            None => {
                let mut bytes = vec![0; usize::try_from(self.superblock.block)?];
                self.read(number, &mut bytes)?;
                kept.truncate(CACHED_BLOCKS - 1);
                (number, bytes.into())
            }
        };
        let bytes = Rc::clone(&block.1);
        kept.insert(0, block);
        Ok(bytes)
    }

    /// Reads whole blocks, as they are with the journal played back.
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

    /// Reads whole blocks as they are on the disk.
    fn read_raw(&self, first: u64, into: &mut [u8]) -> Result<()> {
        let size = self.superblock.block;
        let end = first.checked_add(into.len() as u64 / size);
        ensure!(
            end.is_some_and(|end| end <= self.superblock.blocks),
            "something in it leads to the block {first}, which is beyond its end"
        );
        self.disk
            .read_exact_at(into, self.start + first * size)
            .with_context(|| format!("reading the block {first}"))
    }

    /// Takes note that blocks are part of a file.
    fn reserve(&self, blocks: u64) -> Result<()> {
        crate::fs::interrupt::check()?;
        let left = self.left.get().checked_sub(blocks);
        let left = left.context("its files have more blocks than there are")?;
        self.left.set(left);
        Ok(())
    }

    /// Finds an inode, whatever it is.
    fn inode(&self, number: u32) -> Result<Inode> {
        let superblock = &self.superblock;
        ensure!(
            number >= 1 && number <= superblock.inodes,
            "something in it names the file {number}, which is none"
        );
        let (group, index) = superblock.place_of(number);
        let (block, at) = superblock.descriptor(group)?;
        let descriptor = self.block(block)?;
        let table = superblock.inode_table(&descriptor, at)?;
        let offset = u64::from(index) * superblock.inode_size;
        let block = table.checked_add(offset / superblock.block);
        let block = self.block(block.context("an inode is beyond its end")?)?;
        let at = usize::try_from(offset % superblock.block)?;
        let raw = block.get(at..at + usize::try_from(superblock.inode_size)?);
        Inode::parse(number, raw.context("an inode is not whole")?, superblock)
            .with_context(|| format!("reading the file {number}"))
    }

    /// Finds what a name leads to.
    fn file(&self, id: Id) -> Result<Inode> {
        let number = u32::try_from(id.number)?;
        ensure!(
            number == TOP || number >= self.superblock.first_inode,
            "a name leads to {number}, which is no file of anybody's"
        );
        let inode = self.inode(number)?;
        inode.require_file()?;
        Ok(inode)
    }

    /// Goes through a file's blocks as far as its size goes.
    fn stretches(&self, inode: &Inode, on_data: OnData<'_>) -> Result<()> {
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
                let count = (run.count - done).min((PIECE / block).max(1));
                buffer.resize(usize::try_from(count * block)?, 0);
                self.read(run.physical + done, &mut buffer)?;
                let length = usize::try_from((size - at).min(count * block))?;
                on_data(at, &buffer[..length])?;
                done += count;
            }
            Ok(())
        })
    }
}

impl Reader for Ext<'_> {
    fn begin(&self) {
        self.left.set(self.superblock.blocks);
    }

    fn top(&self) -> Result<Id> {
        Ok(id(TOP))
    }

    fn node(&self, id: Id) -> Result<Node> {
        let inode = self.file(id)?;
        let found = xattr::all(self, &inode)?;
        inode.node(found.travelling, found.left_out)
    }

    fn names(&self, id: Id, on_name: OnName<'_>) -> Result<()> {
        directory::names(self, &self.file(id)?, on_name)
    }

    fn target(&self, id: Id, _: &Node) -> Result<OsString> {
        let inode = self.file(id)?;
        let mut target = Vec::new();
        ensure!(
            inode.size > 0 && inode.size <= LINK,
            "a link in it has a target of {} bytes",
            inode.size
        );
        let size = usize::try_from(inode.size)?;
        if inode.has_inline_data() {
            target = xattr::inline_data(self, &inode)?;
            target.truncate(size);
        } else if size < inode.map().len() {
            target.extend(&inode.map()[..size]);
        } else {
            self.stretches(&inode, &mut |at, bytes| {
                target.resize(usize::try_from(at)?, 0);
                target.extend(bytes);
                Ok(())
            })?;
        }
        if target.len() != size || target.contains(&0) {
            bail!("a link in it has no target");
        }
        Ok(OsStr::from_bytes(&target).to_os_string())
    }

    fn content(&self, id: Id, _: &Node, on_data: OnData<'_>) -> Result<()> {
        let inode = self.file(id)?;
        if inode.has_inline_data() {
            let data = xattr::inline_data(self, &inode)?;
            let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
            return on_data(0, &data[..size.min(data.len())]);
        }
        self.stretches(&inode, on_data)
    }

    fn used(&self) -> Option<u64> {
        let superblock = &self.superblock;
        let used = superblock.blocks.checked_sub(superblock.free)?;
        used.checked_mul(superblock.block)
    }
}

fn id(number: u32) -> Id {
    Id {
        tree: 0,
        number: number.into(),
    }
}
