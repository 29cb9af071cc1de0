//! The target of `deploy --boot`: a mounted card, by its directory, or a block device of this server.
//!
//! Refuses a directory that is not a mount point. A device is mounted while it is written, and formatted if it is empty or the
//! user confirms it. Not for the files.

use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, MSDOS_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::device::{self, Device};
use super::files::{BootFile, boot_files};
use crate::failure::Failure;
use crate::fs::mounts::Access;
use crate::fs::rooted::Tree;
use crate::fs::shown_path::quoted;
use crate::terminal::bytes;

/// udev's links to filesystems, which stay valid when the names of devices change.
const BY_UUID: &str = "/dev/disk/by-uuid";

/// A card.
#[derive(Debug)]
pub(crate) struct Target {
    /// The directory or device, as the user gave it.
    path: PathBuf,
    /// The mounted filesystem; of a device that is to be formatted, set after formatting.
    mounted: OnceCell<Mounted>,
    /// The size of a device, in bytes.
    size: u64,
}

#[derive(Debug)]
struct Mounted {
    tree: Tree,
    /// Free space, in bytes.
    free: u64,
    /// The allocation unit, in bytes.
    unit: u64,
    is_fat: bool,
    /// The UUID of a device's filesystem.
    uuid: Option<String>,
    /// Keeps a device mounted.
    _mount: Option<OwnedFd>,
}

impl Target {
    /// Finds a card, and mounts it, as `access` says, where it is a device. `roots` are the disks that have roots of nodes.
    ///
    /// # Errors
    /// A refusal for anything but the top of a writable filesystem and a device with FAT, empty or to be formatted.
    pub(crate) fn find(
        path: &Path,
        format: bool,
        access: Access,
        roots: &[String],
    ) -> Result<Self> {
        let looking = || format!("looking at {}", path.display());
        let top = path.canonicalize().with_context(looking)?;
        let found = top.metadata().with_context(looking)?;
        if found.file_type().is_block_device() {
            return Self::on_device(path, &top, format, access, roots);
        }
        let above = top
            .parent()
            .map(Path::metadata)
            .transpose()
            .with_context(looking)?;
        if !found.is_dir() || above.is_some_and(|above| above.dev() == found.dev()) {
            return Err(Failure::refused(format!(
                "nothing is mounted at {}: the card has to be, or the files would land on this server's own disk",
                path.display()
            ))
            .hint_to("to find its device, which can be named as well", "lsblk -f")
            .into());
        }
        let mounted = Mounted::new(Tree::open(&top)?, None).with_context(looking)?;
        mounted.refuse_unwritable(&top)?;
        Ok(Self {
            path: top,
            mounted: mounted.into(),
            size: 0,
        })
    }

    fn on_device(
        path: &Path,
        device: &Path,
        format: bool,
        access: Access,
        roots: &[String],
    ) -> Result<Self> {
        let found = device::look(device)?;
        let shown = path.display();
        if let Some(place) = &found.mounted {
            let refusal = format!("{shown} is mounted at {}", place.display());
            return Err(Failure::refused(refusal)
                .hint(format!("umount {}", quoted(place)))
                .into());
        }
        if found.is_protected {
            let refusal =
                format!("{shown} is write-protected, by a switch of the card or of its reader");
            return Err(Failure::refused(refusal).into());
        }
        let formats = found.partition.is_none();
        if formats && !found.held.is_empty() && !format {
            return Err(Failure::refused(format!(
                "{shown} has no FAT partition, and is not empty ({}); formatting destroys its content, and needs --yes",
                found.held
            ))
            .hint(format!("lsblk -f {}", quoted(path)))
            .into());
        }
        if formats && roots.iter().any(|root| found.holds.contains(root)) {
            return Err(Failure::refused(format!(
                "{shown} has the root of an environment, and formatting would destroy it"
            ))
            .hint("netbe status")
            .into());
        }
        device::refuse_unable(formats)?;
        let target = Self {
            path: std::path::absolute(path)?,
            mounted: OnceCell::new(),
            size: found.size,
        };
        if !formats {
            target.mount(found, access)?;
        }
        Ok(target)
    }

    /// Returns whether [`Self::format`] must be called first.
    pub(crate) fn formats(&self) -> bool {
        self.mounted.get().is_none()
    }

    /// Creates a FAT filesystem on the device. Destroys its content.
    pub(crate) fn format(&self) -> Result<()> {
        device::format(&self.path)?;
        self.mount(device::look(&self.path)?, Access::ReadWrite)
    }

    fn mount(&self, device: Device, access: Access) -> Result<()> {
        let shown = self.path.display();
        let partition = device
            .partition
            .with_context(|| format!("{shown} has no FAT partition"))?;
        let mount = device::mount(&partition, access)?;
        let tree = Tree::open_descriptor(&mount)?.shown_as(&self.path);
        let mut mounted = Mounted::new(tree, Some(mount))?;
        mounted.uuid = device.uuid;
        anyhow::ensure!(self.mounted.set(mounted).is_ok(), "it is mounted already");
        Ok(())
    }

    /// Returns the files of the card.
    pub(crate) fn tree(&self) -> Result<&Tree> {
        let mounted = self.mounted.get().context("the card is not formatted")?;
        Ok(&mounted.tree)
    }

    /// Returns the card's path for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path by which the card is found later: for a device, that of its filesystem.
    pub(crate) fn lasting_path(&self) -> PathBuf {
        let uuid = self.mounted.get().and_then(|mounted| mounted.uuid.as_ref());
        let link = uuid.map(|uuid| Path::new(BY_UUID).join(uuid));
        link.filter(|link| link.exists())
            .unwrap_or_else(|| self.path.clone())
    }

    /// Returns the warnings about the card, one sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self.mounted.get() {
            Some(mounted) if !mounted.is_fat => vec![format!(
                "{} is not a FAT filesystem: firmware reads FAT only",
                self.path.display()
            )],
            _ => Vec::new(),
        }
    }

    /// Refuses if files of these lengths do not fit beside the rest, after the removal of these directories.
    pub(crate) fn refuse_full(&self, lengths: &[u64], unneeded: &[&String]) -> Result<()> {
        let Some(mounted) = self.mounted.get() else {
            // A device that is too small for the files even when empty is refused before formatting.
            return refuse_larger(&self.path, lengths.iter().sum(), self.size);
        };
        let mut removed = Vec::new();
        for dir in unneeded {
            let files = boot_files(&mounted.tree, &format!("{dir}/"))?;
            removed.extend(files.iter().map(|BootFile { length, .. }| *length));
        }
        let (needed, free) = (
            mounted.taken(lengths),
            mounted.free.saturating_add(mounted.taken(&removed)),
        );
        refuse_larger(&self.path, needed, free)
    }
}

fn refuse_larger(path: &Path, needed: u64, free: u64) -> Result<()> {
    if needed <= free {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} has too little room for the new boot files beside the old ones: {} are free, {} are needed",
        path.display(),
        bytes(free),
        bytes(needed)
    ))
    .into())
}

impl Mounted {
    fn new(tree: Tree, mount: Option<OwnedFd>) -> Result<Self> {
        let top = top(&tree)?;
        let room = fstatvfs(&top)?;
        let unit = room.fragment_size().max(1);
        Ok(Self {
            free: room.blocks_available().saturating_mul(unit),
            unit,
            is_fat: fstatfs(&top)?.filesystem_type() == MSDOS_SUPER_MAGIC,
            tree,
            uuid: None,
            _mount: mount,
        })
    }

    fn refuse_unwritable(&self, path: &Path) -> Result<()> {
        let top = top(&self.tree)?;
        if fstatfs(&top)?.filesystem_type() == BTRFS_SUPER_MAGIC {
            let why = format!(
                "{} is a btrfs filesystem, which no firmware reads",
                path.display()
            );
            return Err(Failure::refused(why).hint("lsblk -f").into());
        }
        if fstatvfs(&top)?.flags().contains(FsFlags::ST_RDONLY) {
            let why = format!("{} is mounted read-only", path.display());
            return Err(Failure::refused(why)
                .hint(format!("mount -o remount,rw {}", quoted(path)))
                .into());
        }
        Ok(())
    }

    fn taken(&self, lengths: &[u64]) -> u64 {
        let units = lengths.iter().map(|length| length.div_ceil(self.unit) + 1);
        units.sum::<u64>().saturating_mul(self.unit)
    }
}

fn top(tree: &Tree) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    Ok(tree.open_at("", flags, Mode::empty())?)
}
