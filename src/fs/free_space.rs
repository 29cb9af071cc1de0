//! Free space that somebody else's bytes do not get: a pool without any can no longer be tidied up.
//!
//! Not for what netbe itself writes, which is little.

use std::fs::File;

use anyhow::{Context, Result};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::syncfs;

use crate::failure::Failure;

/// What is kept free: this part of a filesystem, and no more than so many bytes.
const PART: u64 = 50;
const MOST: u64 = 1 << 30;
/// What a file takes besides its content, in bytes: more than it does.
const FILE: u64 = 4096;

/// The free space of a filesystem that is being filled.
#[derive(Debug)]
pub struct Room {
    on: File,
    /// What was still to be had when it was last looked at, besides the reserve, in bytes.
    left: u64,
}

impl Room {
    /// Watches the filesystem that something lies on.
    ///
    /// # Errors
    /// When there is too little already.
    pub fn measure(on: &File) -> Result<Self> {
        let mut room = Self {
            on: on.try_clone()?,
            left: 0,
        };
        room.look()?;
        Ok(room)
    }

    /// Takes note of one more step that takes so many bytes, before it is done.
    ///
    /// # Errors
    /// When only the reserve would be left.
    pub fn use_up(&mut self, bytes: u64) -> Result<()> {
        let bytes = bytes.saturating_add(FILE);
        if bytes > self.left {
            // What is written takes its space when it is on disk, and may then take less of it.
            syncfs(&self.on).context("writing to disk")?;
            self.look()?;
        }
        self.left = self.left.saturating_sub(bytes);
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        let found = fstatvfs(&self.on)?;
        let unit = found.fragment_size();
        let total = found.blocks().saturating_mul(unit);
        let free = found.blocks_available().saturating_mul(unit);
        let reserve = (total / PART).min(MOST);
        if total > 0 && free <= reserve {
            return Err(Failure::failed(format!(
                "there are only {} MiB left, and {} MiB are kept free",
                free >> 20,
                reserve >> 20
            ))
            .hint("netbe list --space")
            .into());
        }
        self.left = match total {
            // Some filesystems count nothing.
            0 => u64::MAX,
            _ => free - reserve,
        };
        Ok(())
    }
}
