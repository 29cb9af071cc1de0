//! An open filesystem of an image, read in user space, or mounted if that was requested.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Driver, Progress, counting, detect, directory};
use crate::formats::disk_image::{Access, Mounted, Partition, Readable};
use crate::fs::copy::{self, Report, Rules};
use crate::fs::rooted::Tree;

/// Mounts the top of a btrfs, whatever its default subvolume is.
pub(super) const BTRFS_TOP: &str = "subvolid=5";

/// How an image is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) access: Access,
    pub(super) driver: Driver,
}

/// An open filesystem.
#[derive(Debug)]
pub(super) enum View<'d> {
    Read(Readable<'d>),
    Mounted(Mounted),
}

impl<'d> View<'d> {
    pub(super) fn open(
        disk: &'d File,
        reading: Reading,
        partition: &Partition,
        options: &str,
        scratch: &Path,
    ) -> Result<Self> {
        Ok(match reading.driver {
            Driver::Own => Self::Read(Readable::open(disk, partition)?),
            Driver::Kernel => {
                let filesystem = partition.filesystem.context("no filesystem")?;
                Self::Mounted(Mounted::open(
                    disk,
                    reading.access,
                    partition,
                    filesystem,
                    options,
                    scratch,
                )?)
            }
        })
    }

    /// Returns whether a path exists, also as a link.
    pub(super) fn has(&self, path: &str) -> Result<bool> {
        match self {
            Self::Read(readable) => readable.has(path),
            Self::Mounted(mounted) => Ok(detect::is_there(&tree(mounted)?, path)),
        }
    }

    /// Copies the content of a path, `""` for the top, into an empty directory.
    pub(super) fn copy(
        &self,
        at: &str,
        to: &File,
        progress: &mut dyn Progress,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let report = match self {
            Self::Read(readable) => {
                let mut tick = counting(progress, readable.used());
                readable.copy(at, to, &mut tick)?
            }
            Self::Mounted(mounted) => copy_mounted(mounted, at, to, progress)?,
        };
        directory::note(&report, notes);
        Ok(())
    }
}

fn copy_mounted(
    mounted: &Mounted,
    at: &str,
    to: &File,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let used = nix::sys::statfs::fstatfs(mounted.top()).ok().and_then(|s| {
        let blocks = s.blocks().checked_sub(s.blocks_free())?;
        blocks.checked_mul(u64::try_from(s.block_size()).ok()?)
    });
    let place = if at.is_empty() { "." } else { at };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let from = tree(mounted)?
        .open_path(Path::new(place), flags, Mode::empty())
        .with_context(|| format!("opening '{place}' of the image"))?;
    copy::tree(
        &File::from(from),
        to,
        &Rules::default(),
        &mut counting(progress, used),
    )
}

fn tree(mounted: &Mounted) -> Result<Tree> {
    Ok(Tree::open_descriptor(mounted.top())?)
}
