//! A partition of this machine that its loader reads, whether it is mounted or not.
//!
//! Not for its content.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::mounts::{Access, Detached, Forbids};
use crate::fs::opener::descriptor_path;

/// A filesystem, mounted for this process alone until this is dropped.
#[derive(Debug)]
pub(super) struct OwnPartition(OwnedFd);

impl OwnPartition {
    /// Mounts the filesystem of this UUID and type.
    ///
    /// # Errors
    /// A refusal if no disk has it, or this machine's kernel does not mount it.
    pub(super) fn open(filesystem: &str, kind: &str, access: Access) -> Result<Self> {
        let missing = |why: &str| {
            Failure::refused(format!(
                "this machine's loader reads the filesystem UUID={filesystem}, which cannot be had: {why}"
            ))
            .hint("lsblk -f")
        };
        let found = Command::new("blkid").args(["-U", filesystem]).output();
        let found = found.context("running blkid")?;
        let device = String::from_utf8_lossy(&found.stdout).trim().to_string();
        if !found.status.success() || device.is_empty() {
            return Err(missing("no disk has it").into());
        }
        let forbids = Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV;
        let mount =
            |access, forbids| Detached::of_device(kind, Path::new(&device), &[], access, forbids);
        let mounted = match mount(access, forbids) {
            // It is mounted read-write already, and a filesystem cannot be mounted read-only as well.
            Err(e)
                if e.kind() == std::io::ErrorKind::ResourceBusy && access == Access::ReadOnly =>
            {
                mount(Access::ReadWrite, forbids | Forbids::MOUNT_ATTR_RDONLY)
            }
            mounted => mounted,
        };
        let top = mounted
            .map_err(|e| missing(&format!("mounting {device}: {e}")))?
            .into_top();
        Ok(Self(top))
    }

    /// Returns its top, for this process.
    pub(super) fn path(&self) -> PathBuf {
        descriptor_path(&self.0)
    }

    /// Returns the descriptor of its top.
    pub(super) fn top(&self) -> &OwnedFd {
        &self.0
    }

    /// Makes what was written durable: a loader reads no journal.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(subvolume::sync(&self.path())?)
    }
}
