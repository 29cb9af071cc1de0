//! The sector in the reserved header of a mounted btrfs that GRUB, from 2.14 on, has for its environment block.
//!
//! The kernel and btrfs-progs do not use the first MiB of each device except for the superblock at 64 KiB (btrfs(5),
//! "Bootloader support"). GRUB uses the 512 bytes at 256 KiB (`GRUB_ENV_BTRFS_OFFSET`). The device is written beneath a
//! mounted filesystem: so it is opened only if it is the filesystem's only device, by the kernel's information and by its own
//! superblock, without device mapper and RAID in between; and only this sector is written, bypassing the page cache. Not for
//! the content of the sector.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::subvolume::Uuid;
use crate::failure::Failure;

/// The size of GRUB's sectors, in bytes, whatever the disk's is.
pub const SECTOR: usize = 512;
/// Its name in GRUB's syntax, after the device: a list of blocks, in sectors.
pub const BLOCK_LIST: &str = "512+1";
/// Its offset.
const OFFSET: u64 = 256 << 10;
/// The kernel's filesystems, by their UUIDs.
const FILESYSTEMS: &str = "/sys/fs/btrfs";

/// `BTRFS_SUPER_INFO_OFFSET`, and the fields of `struct btrfs_super_block` that are checked.
mod superblock {
    pub(super) const OFFSET: u64 = 64 << 10;
    pub(super) const FSID: usize = 0x20;
    pub(super) const ADDRESS: usize = 0x30;
    pub(super) const MAGIC: usize = 0x40;
    pub(super) const DEVICES: usize = 0x88;
}

/// The purpose of opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// To read it.
    Reading,
    /// To read and write it.
    Writing,
}

/// The sector of a filesystem, open.
#[derive(Debug)]
pub struct Reserved {
    device: File,
    path: PathBuf,
}

/// Memory that is aligned for direct I/O.
#[repr(C, align(4096))]
struct Aligned([u8; 4096]);

impl Reserved {
    /// Opens the sector of a mounted filesystem, by the UUID in its superblock.
    ///
    /// # Errors
    /// A refusal that says why it must not be used, or that the kernel does not let a mounted device be written.
    pub fn open(filesystem: &str, how: For) -> Result<Self> {
        let path = device_of(Path::new(FILESYSTEMS), filesystem)?;
        let opened = File::options()
            .read(true)
            .write(how == For::Writing)
            .custom_flags((OFlag::O_DIRECT | OFlag::O_DSYNC | OFlag::O_NOCTTY).bits())
            .open(&path.node);
        let device = match opened {
            Ok(device) => device,
            Err(e) if is_forbidden(&e) && how == For::Writing => {
                let why = "this kernel does not allow writing to it while it is mounted";
                return Err(refusal(&path.node, format!("{why}: {e}")).into());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(refusal(&path.node, "it has no node of that name").into());
            }
            Err(e) => return Err(e).with_context(|| format!("opening {}", path.node.display())),
        };
        let about = device.metadata();
        let about = about.with_context(|| format!("looking at {}", path.node.display()))?;
        if !about.file_type().is_block_device() || about.rdev() != path.number {
            return Err(refusal(&path.node, "it is another device than the mounted one").into());
        }
        let reserved = Self {
            device,
            path: path.node,
        };
        reserved.compare_superblock(filesystem)?;
        Ok(reserved)
    }

    /// Reads the sector.
    pub fn read(&self) -> Result<[u8; SECTOR]> {
        let mut memory = Box::new(Aligned([0; 4096]));
        let sector = &mut memory.0[..SECTOR];
        self.device
            .read_exact_at(sector, OFFSET)
            .map_err(|e| self.explained(e, "reading"))?;
        let mut bytes = [0; SECTOR];
        bytes.copy_from_slice(sector);
        Ok(bytes)
    }

    /// Writes only the sector, durably.
    pub fn write(&self, bytes: &[u8; SECTOR]) -> Result<()> {
        let mut memory = Box::new(Aligned([0; 4096]));
        let sector = &mut memory.0[..SECTOR];
        sector.copy_from_slice(bytes);
        self.device
            .write_all_at(sector, OFFSET)
            .map_err(|e| self.explained(e, "writing"))?;
        self.sync()?;
        let path = self.path.display();
        anyhow::ensure!(
            self.read()? == *bytes,
            "{path} does not give back at {OFFSET} what was written"
        );
        Ok(())
    }

    /// Makes the sector durable.
    pub fn sync(&self) -> Result<()> {
        let done = self.device.sync_all();
        done.with_context(|| format!("syncing {}", self.path.display()))
    }

    fn compare_superblock(&self, filesystem: &str) -> Result<()> {
        let mut memory = Box::new(Aligned([0; 4096]));
        let read = self.device.read_exact_at(&mut memory.0, superblock::OFFSET);
        read.with_context(|| format!("reading the superblock of {}", self.path.display()))?;
        match wrong_in(&memory.0, filesystem) {
            Some(why) => Err(refusal(&self.path, why).into()),
            None => Ok(()),
        }
    }

    /// Returns the error with its place; direct I/O fails on a device with larger sectors.
    fn explained(&self, e: io::Error, what: &str) -> anyhow::Error {
        if e.raw_os_error() == Some(Errno::EINVAL as i32) {
            let why = format!("its sectors are larger than {SECTOR} bytes ({what}: {e})");
            return refusal(&self.path, why).into();
        }
        let place = format!("{what} {} at {OFFSET}", self.path.display());
        anyhow::Error::new(e).context(place)
    }
}

/// A device, as the kernel knows it.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    node: PathBuf,
    number: u64,
}

/// Returns the only device of a mounted filesystem, from the kernel's directory of filesystems.
fn device_of(filesystems: &Path, filesystem: &str) -> Result<Device> {
    let devices = filesystems.join(filesystem).join("devices");
    let looking = || format!("reading {}", devices.display());
    let names = match fs::read_dir(&devices) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(no_place(&format!(
                "the btrfs UUID={filesystem} is not mounted"
            )));
        }
        names => names.with_context(looking)?,
    };
    let names = names
        .collect::<io::Result<Vec<_>>>()
        .with_context(looking)?;
    let [only] = names.as_slice() else {
        return Err(no_place(&format!(
            "the btrfs UUID={filesystem} has {} devices",
            names.len()
        )));
    };
    let node = node_of(&only.file_name());
    for between in ["dm", "md"] {
        let directory = only.path().join(between);
        let found = directory.try_exists();
        if found.with_context(|| format!("looking for {}", directory.display()))? {
            return Err(refusal(&node, "it is no disk or partition itself").into());
        }
    }
    let file = only.path().join("dev");
    let text = fs::read_to_string(&file);
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    let number = number(&text).with_context(|| format!("{}: {text:?}", file.display()))?;
    Ok(Device { node, number })
}

/// Returns the node of a device by its name in `/sys`, which has a `!` for each `/`.
fn node_of(name: &OsStr) -> PathBuf {
    let name: Vec<u8> = name
        .as_bytes()
        .iter()
        .map(|byte| if *byte == b'!' { b'/' } else { *byte })
        .collect();
    Path::new("/dev").join(OsStr::from_bytes(&name))
}

/// Returns the number of a device, `8:3`.
fn number(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(nix::sys::stat::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

/// Returns why a superblock is not that of this filesystem with a single device.
fn wrong_in(bytes: &[u8; 4096], filesystem: &str) -> Option<String> {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let mut fsid = [0; 16];
    fsid.copy_from_slice(&bytes[superblock::FSID..superblock::FSID + 16]);
    let is_btrfs = &bytes[superblock::MAGIC..superblock::MAGIC + 8] == b"_BHRfS_M";
    if !is_btrfs || word(superblock::ADDRESS) != superblock::OFFSET {
        return Some("it has no superblock of btrfs at 64 KiB".to_string());
    }
    if filesystem.parse() != Ok(Uuid(fsid)) {
        return Some(format!(
            "its superblock is that of the btrfs UUID={}, and not of UUID={filesystem}",
            Uuid(fsid)
        ));
    }
    match word(superblock::DEVICES) {
        1 => None,
        more => Some(format!("its filesystem has {more} devices")),
    }
}

/// Returns whether the kernel forbids the access: `CONFIG_BLK_DEV_WRITE_MOUNTED`, a read-only disk, a security module.
fn is_forbidden(e: &io::Error) -> bool {
    let errno = e.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| {
        matches!(
            errno,
            Errno::EBUSY | Errno::EPERM | Errno::EACCES | Errno::EROFS
        )
    })
}

fn refusal(device: &Path, why: impl std::fmt::Display) -> Failure {
    let device = device.display();
    Failure::refused(format!(
        "netbe does not use the place that GRUB has on {device} for a boot for once: {why}"
    ))
    .hint("lsblk -f")
}

fn no_place(why: &str) -> anyhow::Error {
    Failure::refused(format!(
        "netbe does not use the place that GRUB has on btrfs for a boot for once: {why}"
    ))
    .hint("btrfs filesystem show")
    .into()
}

#[cfg(test)]
mod tests;
