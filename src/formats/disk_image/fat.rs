//! FAT filesystems, read in user space and copied out.
//!
//! Names are the long ones, else the short ones in the case they were written in, as Linux shows them. Files become
//! 0644 and directories 0755, owned by root: TFTP servers read them as nobody. Times are taken as UTC. A damaged
//! filesystem ends in an error, however its chains are knotted: no more is read, made or copied than it has room for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, anyhow, bail, ensure};
use fatfs::{DateTime, Dir, FileSystem, FsOptions};
use jiff::civil;
use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use super::Window;
use super::place::{make_directory, make_file};
use super::reader::guarded;
use crate::fs::copy::attributes::Attributes;
use crate::fs::free_space::FreeSpace;
use crate::fs::interrupt;

/// The deepest directory, and the most entries of one, that a FAT can sensibly have.
const DEPTH: usize = 64;
const ENTRIES: usize = 65536;
/// What an entry of a directory takes, in bytes.
const ENTRY: u64 = 32;

/// Copies everything in a FAT partition into an empty directory.
///
/// `tick` is told of bytes as they are done.
pub fn copy(
    disk: &File,
    start: u64,
    size: u64,
    to: &File,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    guarded("FAT", || {
        let fat = open(disk, start, size)?;
        let mut copying = Copying {
            left: size,
            entries: size / ENTRY,
            cluster: fat.cluster_size().into(),
            room: FreeSpace::measure(to)?,
            tick,
        };
        copying.directory(&fat.root_dir(), to, "", 0)?;
        attributes(0o755, None).apply(to)?;
        Ok(())
    })
}

/// Returns the names in the top directory of a FAT partition.
pub fn names(disk: &File, start: u64, size: u64) -> Result<Vec<String>> {
    guarded("FAT", || {
        let fat = open(disk, start, size)?;
        let top = fat.root_dir();
        top.iter()
            .take(ENTRIES)
            .map(|entry| entry.map(|e| e.file_name()).map_err(|e| damaged(&e)))
            .collect()
    })
}

fn open(disk: &File, start: u64, size: u64) -> Result<FileSystem<Bounded<'_>>> {
    let window = Window::new(disk, start, size);
    ensure!(
        has_room(&window.head(512)?),
        "the image's FAT is damaged: its tables have no room in it"
    );
    let bounded = Bounded {
        window,
        left: size.saturating_mul(2).saturating_add(TABLES),
    };
    FileSystem::new(bounded, FsOptions::new()).map_err(|e| damaged(&e))
}

/// What may be read besides twice the whole: the tables are read a few bytes at a time, for each cluster once.
const TABLES: u64 = 1 << 20;

/// A partition of which no more is read than somebody who reads everything once does.
///
/// The crate follows a chain of clusters that leads back into itself for as long as it has nothing to tell.
#[derive(Debug)]
struct Bounded<'f> {
    window: Window<'f>,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check_io()?;
        let count = self.window.read(buf)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("its chains never end"))?;
        Ok(count)
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.window.seek(to)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.window.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.window.flush()
    }
}

/// Returns whether the parts that a boot sector announces fit into what it says is there.
///
/// The crate adds these numbers up in 32 bits.
fn has_room(sector: &[u8]) -> bool {
    let short = |at: usize| {
        let bytes = sector.get(at..at + 2)?;
        Some(u64::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let long = |at: usize| Some(short(at)? | (short(at + 2)? << 16));
    let either = |small: usize, large: usize| match short(small)? {
        0 => long(large),
        some => Some(some),
    };
    let fits = || {
        let bytes = short(11).filter(|b| *b >= 512)?;
        let tables = either(22, 36)?;
        let fats = u64::from(*sector.get(16)?);
        let before = short(14)? + fats * tables + (short(17)? * 32).div_ceil(bytes);
        let entries = tables * bytes * 8;
        Some(before < either(19, 32)? && entries <= u64::from(u32::MAX))
    };
    fits() == Some(true)
}

struct Copying<'a> {
    /// Bytes that files and directories may still have: more than the partition has means that chains cross.
    left: u64,
    /// Entries that directories may still have, for the same reason.
    entries: u64,
    /// The size of a cluster in bytes, of which a directory has at least one.
    cluster: u64,
    room: FreeSpace,
    tick: &'a mut dyn FnMut(u64),
}

impl Copying<'_> {
    fn directory(
        &mut self,
        from: &Dir<'_, Bounded<'_>>,
        to: &File,
        path: &str,
        depth: usize,
    ) -> Result<()> {
        ensure!(
            depth < DEPTH,
            "the image's FAT is damaged: {path} never ends"
        );
        for (count, entry) in from.iter().enumerate() {
            ensure!(
                count < ENTRIES,
                "the image's FAT is damaged: the directory '{path}' never ends"
            );
            let entry = entry.map_err(|e| damaged(&e))?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            ensure!(
                !name.is_empty() && !name.contains(['/', '\0']),
                "the image's FAT is damaged: it has a file called {name:?} in '{path}'"
            );
            let below = format!("{path}/{name}");
            let reading = || format!("copying '{below}'");
            interrupt::check()?;
            self.entries = take(self.entries, 1)?;
            self.room.reserve(0)?;
            let modified = Some(entry.modified());
            if entry.is_dir() {
                self.left = take(self.left, self.cluster)?;
                let directory = make_directory(to, OsStr::new(&name))
                    .map_err(twice)
                    .with_context(reading)?;
                self.directory(&entry.to_dir(), &directory, &below, depth + 1)?;
                attributes(0o755, modified)
                    .apply(&directory)
                    .with_context(reading)?;
            } else {
                let file = make_file(to, OsStr::new(&name))
                    .map_err(twice)
                    .with_context(reading)?;
                self.content(&mut entry.to_file(), entry.len(), &file)
                    .with_context(reading)?;
                attributes(0o644, modified)
                    .apply(&file)
                    .with_context(reading)?;
            }
        }
        Ok(())
    }

    fn content(&mut self, from: &mut impl Read, size: u64, mut to: &File) -> Result<()> {
        self.left = take(self.left, size)?;
        let mut buffer = vec![0; 128 << 10];
        let mut done = 0;
        loop {
            interrupt::check()?;
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(damaged(&e)),
            };
            self.room.reserve(count as u64)?;
            to.write_all(&buffer[..count])?;
            done += count as u64;
            (self.tick)(count as u64);
        }
        if done != size {
            bail!("the image's FAT is damaged: the file has {done} bytes of {size}");
        }
        Ok(())
    }
}

/// Takes what files and directories need off what there is.
fn take(left: u64, need: u64) -> Result<u64> {
    left.checked_sub(need)
        .context("the image's FAT is damaged: its files are larger than it")
}

fn twice(error: Errno) -> anyhow::Error {
    match error {
        Errno::EEXIST => anyhow!("the image's FAT is damaged: a name is there twice"),
        e => e.into(),
    }
}

fn damaged(error: &io::Error) -> anyhow::Error {
    anyhow!("the image's FAT is damaged: {error}")
}

fn attributes(mode: u32, modified: Option<DateTime>) -> Attributes {
    let time = modified.and_then(seconds).map_or_else(
        || TimeSpec::new(0, nix::libc::UTIME_OMIT),
        |seconds| TimeSpec::new(seconds, 0),
    );
    Attributes {
        mode,
        uid: 0,
        gid: 0,
        accessed: TimeSpec::new(0, nix::libc::UTIME_OMIT),
        modified: time,
        xattrs: Vec::new(),
    }
}

/// Returns a time as seconds since the epoch; `None` for one that was never written.
fn seconds(time: DateTime) -> Option<i64> {
    let small = |n: u16| i8::try_from(n).ok();
    let date = civil::Date::new(
        i16::try_from(time.date.year).ok()?,
        small(time.date.month)?,
        small(time.date.day)?,
    )
    .ok()?;
    let clock = civil::Time::new(
        small(time.time.hour)?,
        small(time.time.min)?,
        small(time.time.sec)?,
        0,
    )
    .ok()?;
    let zoned = date.to_datetime(clock).to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}
