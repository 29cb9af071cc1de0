//! Reads FAT filesystems in user space and copies their files.
//!
//! Names are the long ones, or the short ones in their stored case, as in Linux. Files get mode 0644, directories
//! 0755, owner root: TFTP servers read them as nobody. Times are taken as UTC. A damaged filesystem ends in an error:
//! cluster loops are bounded by its size.

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
use super::guarded::guarded;
use crate::fs::copy::attributes::Attributes;
use crate::fs::free_space::FreeSpace;

use crate::fs::{interrupt, opener};

/// The deepest and the largest directory that is copied.
const DEPTH_MAX: usize = 64;
const ENTRIES_MAX: usize = 65536;
/// Size of a directory entry, in bytes.
const ENTRY: u64 = 32;

/// Copies all files of a FAT partition into an empty directory.
///
/// `tick` receives the number of bytes as they are copied.
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
            remaining: size,
            entries: size / ENTRY,
            cluster: fat.cluster_size().into(),
            free_space: FreeSpace::measure(to)?,
            tick,
        };
        copying.directory(&fat.root_dir(), to, "", 0)?;
        attributes(0o755, None).apply(to)?;
        Ok(())
    })
}

/// Returns the names in the root directory of a FAT partition.
pub fn names(disk: &File, start: u64, size: u64) -> Result<Vec<String>> {
    guarded("FAT", || {
        let fat = open(disk, start, size)?;
        let top = fat.root_dir();
        top.iter()
            .take(ENTRIES_MAX)
            .map(|entry| entry.map(|e| e.file_name()).map_err(|e| damaged(&e)))
            .collect()
    })
}

fn open(disk: &File, start: u64, size: u64) -> Result<FileSystem<Bounded<'_>>> {
    let window = Window::new(disk, start, size);
    ensure!(
        tables_fit(&window.head(512)?),
        "the image's FAT is damaged: its tables are larger than the filesystem"
    );
    let bounded = Bounded {
        window,
        remaining: size.saturating_mul(2).saturating_add(TABLES),
    };
    FileSystem::new(bounded, FsOptions::new()).map_err(|e| damaged(&e))
}

/// Bytes that may be read besides twice the partition: the tables are read in small pieces, once for each cluster.
const TABLES: u64 = 1 << 20;

/// A partition with a limit on the bytes read.
///
/// The crate follows a loop of clusters for ever.
#[derive(Debug)]
struct Bounded<'f> {
    window: Window<'f>,
    remaining: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check_io()?;
        let count = self.window.read(buf)?;
        self.remaining = self
            .remaining
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("a chain of clusters is a loop"))?;
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

/// Returns whether the tables of a boot sector fit into the filesystem.
///
/// The crate adds these numbers with 32 bits.
fn tables_fit(sector: &[u8]) -> bool {
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
    /// Bytes that further files may have. Files larger than the partition together share clusters, which is damage.
    remaining: u64,
    /// The number of further directory entries, limited for the same reason.
    entries: u64,
    /// Size of a cluster in bytes, of which a directory has at least one.
    cluster: u64,
    free_space: FreeSpace,
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
            depth < DEPTH_MAX,
            "the image's FAT is damaged: {path} never ends"
        );
        for (count, entry) in from.iter().enumerate() {
            ensure!(
                count < ENTRIES_MAX,
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
            let child = format!("{path}/{name}");
            let reading = || format!("copying '{child}'");
            interrupt::check()?;
            self.entries = take(self.entries, 1)?;
            self.free_space.reserve(0)?;
            let modified = Some(entry.modified());
            if entry.is_dir() {
                self.remaining = take(self.remaining, self.cluster)?;
                let directory = opener::new_directory_at(to, OsStr::new(&name))
                    .map_err(duplicate)
                    .with_context(reading)?;
                self.directory(&entry.to_dir(), &directory, &child, depth + 1)?;
                attributes(0o755, modified)
                    .apply(&directory)
                    .with_context(reading)?;
            } else {
                let file = opener::new_file_at(to, OsStr::new(&name))
                    .map_err(duplicate)
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
        self.remaining = take(self.remaining, size)?;
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
            self.free_space.reserve(count as u64)?;
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

/// Subtracts what a file needs from what remains.
fn take(remaining: u64, need: u64) -> Result<u64> {
    remaining
        .checked_sub(need)
        .context("the image's FAT is damaged: its files are larger than the partition")
}

fn duplicate(error: Errno) -> anyhow::Error {
    match error {
        Errno::EEXIST => anyhow!("the image's FAT is damaged: a name occurs twice"),
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

/// Returns a time as seconds since the epoch; `None` if it was never set.
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
