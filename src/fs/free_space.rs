//! The free space of filesystems, and the reserve while foreign content is written: on a full pool nothing can be removed.
//!
//! netbe's own files are not counted: they are small.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use nix::unistd::syncfs;

use crate::failure::Failure;

/// The reserve: this fraction of the filesystem.
const RESERVE_FRACTION: u64 = 50;
/// The largest reserve, in bytes.
const RESERVE_MAX: u64 = 1 << 30;
/// The words of every error about the reserve, by which a full filesystem is recognised.
pub const KEPT_FREE: &str = "MiB are kept free";
/// Upper estimate of a file's metadata, in bytes.
const FILE_OVERHEAD: u64 = 4096;

/// The free and the whole size of a filesystem, in bytes; some report none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The free size.
    pub free: u64,
    /// The whole size.
    pub total: u64,
}

impl Sizes {
    /// Returns those of the filesystem at a path.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&statvfs(path)?))
    }

    /// Returns those of the filesystem of an open file.
    pub fn of(open: &impl AsFd) -> io::Result<Self> {
        Ok(Self::from(&fstatvfs(open)?))
    }

    /// Returns the reserve that is this fraction of it, in bytes.
    pub fn reserve(self, fraction: u64) -> u64 {
        (self.total / fraction).min(RESERVE_MAX)
    }

    /// Returns the sentence that says that only a reserve is left on a filesystem, which is a noun with its article.
    pub fn only_reserve(self, reserve: u64, filesystem: &str) -> String {
        let free = self.free >> 20;
        format!(
            "only {free} MiB are free on {filesystem}, and {} {KEPT_FREE}",
            reserve >> 20
        )
    }
}

impl From<&Statvfs> for Sizes {
    fn from(found: &Statvfs) -> Self {
        let unit = found.fragment_size();
        Self {
            free: found.blocks_available().saturating_mul(unit),
            total: found.blocks().saturating_mul(unit),
        }
    }
}

/// The free space of a filesystem that is being filled.
#[derive(Debug)]
pub struct FreeSpace {
    on: File,
    /// Free bytes without the reserve, at the last measurement, less what was reserved since.
    left: u64,
}

impl FreeSpace {
    /// Measures the filesystem of an open file.
    ///
    /// # Errors
    /// If only the reserve is left.
    pub fn measure(on: &File) -> Result<Self> {
        let mut room = Self {
            on: on.try_clone()?,
            left: 0,
        };
        room.update()?;
        Ok(room)
    }

    /// Reserves space for a file of this many bytes, before it is written.
    ///
    /// # Errors
    /// If only the reserve would be left.
    pub fn reserve(&mut self, bytes: u64) -> Result<()> {
        let bytes = bytes.saturating_add(FILE_OVERHEAD);
        if bytes > self.left {
            // Delayed allocation: the free space is accurate only after a sync.
            syncfs(&self.on).context("writing to disk")?;
            self.update()?;
        }
        self.left = self.left.saturating_sub(bytes);
        Ok(())
    }

    fn update(&mut self) -> Result<()> {
        let sizes = Sizes::of(&self.on)?;
        let reserve = sizes.reserve(RESERVE_FRACTION);
        if sizes.total > 0 && sizes.free <= reserve {
            let text = sizes.only_reserve(reserve, "the filesystem");
            return Err(Failure::failed(text).hint("netbe list --space").into());
        }
        self.left = match sizes.total {
            // Some filesystems do not report sizes.
            0 => u64::MAX,
            _ => sizes.free - reserve,
        };
        Ok(())
    }
}
