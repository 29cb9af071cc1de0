//! Reserves free space while foreign content is written: on a full pool nothing can be removed.
//!
//! netbe's own files are not counted: they are small.

use std::fs::File;

use anyhow::{Context, Result};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::syncfs;

use crate::failure::Failure;

/// The reserve: this fraction of the filesystem, at most this many bytes.
const RESERVE_FRACTION: u64 = 50;
const RESERVE_MAX: u64 = 1 << 30;
/// Upper estimate of a file's metadata, in bytes.
const FILE_OVERHEAD: u64 = 4096;

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
        let found = fstatvfs(&self.on)?;
        let unit = found.fragment_size();
        let total = found.blocks().saturating_mul(unit);
        let free = found.blocks_available().saturating_mul(unit);
        let reserve = (total / RESERVE_FRACTION).min(RESERVE_MAX);
        if total > 0 && free <= reserve {
            return Err(Failure::failed(format!(
                "only {} MiB are left on the filesystem, and {} MiB are kept free",
                free >> 20,
                reserve >> 20
            ))
            .hint("netbe list --space")
            .into());
        }
        self.left = match total {
            // Some filesystems do not report sizes.
            0 => u64::MAX,
            _ => free - reserve,
        };
        Ok(())
    }
}
