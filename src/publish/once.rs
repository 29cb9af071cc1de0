//! The file in which GRUB of this machine has what it boots for once, on a partition that need not be mounted.
//!
//! It is written in place: GRUB does so, too, by the numbers of its sectors, and what counts is in the first. Not for what
//! is in it: `boot::env_block`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::boot::env_block;
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::path_error::if_exists;
use crate::pool::record::Block;

/// Returns the path of what a descriptor is open on, for this process.
fn of(top: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", top.as_raw_fd()))
}
/// The file, which need not exist, on its filesystem, which is mounted as long as this is there.
#[derive(Debug)]
pub(super) struct BlockFile {
    top: OwnedFd,
    file: PathBuf,
}

impl BlockFile {
    /// Mounts its filesystem, where nobody else sees it.
    ///
    /// # Errors
    /// A refusal if no disk has it, or this machine's kernel does not mount it.
    pub(super) fn open(block: &Block, access: Access) -> Result<Self> {
        let missing = |why: &str| {
            Failure::refused(format!(
                "GRUB forgets a boot for once by {block}, which cannot be had: {why}"
            ))
            .hint("lsblk -f")
        };
        let found = Command::new("blkid")
            .args(["-U", &block.filesystem])
            .output();
        let found = found.context("running blkid")?;
        let device = String::from_utf8_lossy(&found.stdout).trim().to_string();
        if !found.status.success() || device.is_empty() {
            return Err(missing("no disk has this filesystem").into());
        }
        let forbids = Forbids::SETUID.and(Forbids::DEVICES);
        let mount =
            |access, forbids| Detached::of_device(&block.kind, Path::new(&device), access, forbids);
        let mounted = match mount(access, forbids) {
            // It is mounted already, for writing: a filesystem is the one or the other.
            Err(e) if e.kind() == ErrorKind::ResourceBusy && access == Access::ReadOnly => {
                mount(Access::ReadWrite, forbids.and(Forbids::WRITING))
            }
            mounted => mounted,
        };
        let top = mounted
            .map_err(|e| missing(&format!("mounting {device}: {e}")))?
            .into_top();
        Ok(Self {
            file: of(&top).join(&block.file),
            top,
        })
    }

    /// Returns what is in it; `None` if it does not exist.
    pub(super) fn read(&self) -> Result<Option<String>> {
        let bytes = if_exists(fs::read(&self.file)).context("reading GRUB's environment block")?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Makes it say what is booted for once, durably.
    pub(super) fn write(&self, once: Option<&str>) -> Result<()> {
        let dir = self.file.parent().context("it is in a directory")?;
        fs::create_dir_all(dir)?;
        let mut open = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.file)?;
        open.write_all(env_block::block(once).as_bytes())?;
        open.set_len(env_block::LENGTH as u64)?;
        open.sync_all()?;
        // A loader reads no journal.
        Ok(subvolume::sync(dir)?)
    }

    /// Removes it, durably, and its directory if that has nothing else.
    pub(super) fn remove(&self) -> Result<()> {
        if_exists(fs::remove_file(&self.file))?;
        // It stays if it has more.
        let _ = self.file.parent().map(fs::remove_dir);
        Ok(subvolume::sync(&of(&self.top))?)
    }
}
