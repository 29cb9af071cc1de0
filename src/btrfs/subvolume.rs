//! Subvolumes: the only user of the `btrfsutil` crate.
//!
//! Errors have errno and path. A snapshot to an existing name is an error, never a nested snapshot. Parts of the crate
//! that are known to be broken (iterator, default subvolume, quota groups, path lookup) are not used. Neither are
//! paths inside what a node owns: nested subvolumes are found and deleted by ID. Space is computed elsewhere.

mod deletion;
mod nested;

pub mod identity;
pub mod known;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::{SnapshotFlags, Subvolume};
use jiff::Timestamp;

use crate::fs::opener;
use crate::fs::path_error::if_exists;

pub use deletion::{delete_nested, delete_open, is_read_only, make_changeable};
pub use nested::{Nested, directory_in, nested};

/// Inode number of the top directory of a subvolume (`BTRFS_FIRST_FREE_OBJECTID`, btrfs_tree.h).
const SUBVOLUME_INODE: u64 = 256;

/// `BTRFS_ROOT_SUBVOL_RDONLY` of linux/btrfs_tree.h.
const READ_ONLY: u64 = 1;

/// The kernel's data on a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// ID in the filesystem, never reused.
    pub id: u64,
    /// UUID.
    pub uuid: Uuid,
    /// UUID of the subvolume it is a snapshot of.
    pub parent_uuid: Option<Uuid>,
    /// Creation time, UTC.
    pub created: Timestamp,
    /// Transaction of its creation: later writes have a higher one.
    pub made: u64,
    /// Transaction of the last change.
    pub generation: u64,
    /// Transaction of the last change of a file or name in it.
    pub changed: u64,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// A UUID, printed as `8-4-4-4-12` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::hex::uuid(&self.0))
    }
}

impl std::str::FromStr for Uuid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.replace('-', "");
        let bytes = crate::hex::bytes(&digits).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(())
    }
}

impl std::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Creates an empty subvolume; the name must not exist.
pub fn create(path: &Path) -> io::Result<()> {
    with_errno(path, "cannot make subvolume", || {
        Subvolume::create(path, None)
    })
    .map(drop)
}

/// Creates a writable snapshot of the subvolume `source` at `path`; the name must not exist.
///
/// Nested subvolumes of the source are empty directories in it: see [`nested`].
///
/// # Errors
/// `ETXTBSY` if the source has an active swap file, `EEXIST`, `EROFS`, `ENOSPC`, `EXDEV`.
pub fn snapshot(source: &Path, path: &Path) -> io::Result<()> {
    with_errno(path, "cannot make snapshot", || {
        Subvolume::get(source)?.snapshot(path, None, None)
    })
    .map(drop)
}

/// Creates a read-only snapshot of the subvolume `source` at `path`; the name must not exist.
pub fn snapshot_read_only(source: &Path, path: &Path) -> io::Result<()> {
    with_errno(path, "cannot make snapshot", || {
        Subvolume::get(source)?.snapshot(path, Some(SnapshotFlags::READ_ONLY), None)
    })
    .map(drop)
}

/// Makes a subvolume read-only.
///
/// Earlier writes may not be on the disk yet: call [`sync`] first.
pub fn make_read_only(path: &Path) -> io::Result<()> {
    with_errno(path, "cannot make read-only", || {
        Subvolume::get(path)?.set_ro(true)
    })
}

/// Makes a subvolume writable.
pub fn make_writable(path: &Path) -> io::Result<()> {
    with_errno(path, "cannot make writable", || {
        Subvolume::get(path)?.set_ro(false)
    })
}

/// Returns the kernel's data on the subvolume at `path`; requires `CAP_SYS_ADMIN`.
pub fn info(path: &Path) -> io::Result<Info> {
    let info = with_errno(path, "cannot read subvolume", || {
        Subvolume::get(path)?.info()
    })?;
    let nanoseconds = info.otime.timestamp_subsec_nanos().min(999_999_999);
    let created = Timestamp::new(info.otime.timestamp(), nanoseconds.cast_signed());
    Ok(Info {
        id: info.id,
        uuid: Uuid(*info.uuid.as_bytes()),
        parent_uuid: info.parent_uuid.map(|u| Uuid(*u.as_bytes())),
        created: created.unwrap_or(Timestamp::UNIX_EPOCH),
        made: info.otransid,
        generation: info.generation,
        changed: info.ctransid,
        read_only: info.flags & READ_ONLY != 0,
    })
}

/// Returns whether an open directory is the top of a btrfs subvolume.
pub(crate) fn is_top(directory: &impl AsFd) -> nix::Result<bool> {
    Ok(nix::sys::stat::fstat(directory)?.st_ino == SUBVOLUME_INODE
        && nix::sys::statfs::fstatfs(directory)?.filesystem_type()
            == nix::sys::statfs::BTRFS_SUPER_MAGIC)
}

/// Returns whether `path` is the top of a btrfs subvolume; false if it does not exist.
///
/// # Errors
/// If the status cannot be read.
pub fn is_subvolume(path: &Path) -> io::Result<bool> {
    let Some(found) = if_exists(path.symlink_metadata())? else {
        return Ok(false);
    };
    // The inode number alone could be of a file on another filesystem.
    Ok(found.is_dir() && found.ino() == SUBVOLUME_INODE && is_on_btrfs(path)?)
}

/// Returns whether `path` is on a btrfs filesystem.
///
/// # Errors
/// If the status cannot be read.
pub fn is_on_btrfs(path: &Path) -> io::Result<bool> {
    let found = nix::sys::statfs::statfs(path)?;
    Ok(found.filesystem_type() == nix::sys::statfs::BTRFS_SUPER_MAGIC)
}

/// Syncs the filesystem of `path`: data first, then one commit.
///
/// By `syncfs(2)`: btrfs' own ioctl commits without flushing file data, and a file just written would be empty
/// after a power cut.
pub fn sync(path: &Path) -> io::Result<()> {
    let file = opener::directory(path).map_err(|e| call_error("cannot open", path, e))?;
    nix::unistd::syncfs(&file).map_err(|e| call_error("cannot sync", path, e.into()))
}

/// Calls the crate and returns its error with the errno, which the crate's type lacks.
fn with_errno<T>(
    path: &Path,
    what: &'static str,
    call: impl FnOnce() -> Result<T, btrfsutil::BtrfsUtilError>,
) -> io::Result<T> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        // The crate would panic.
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // Read at once: the next call overwrites errno.
    call().map_err(|_| call_error(what, path, io::Error::last_os_error()))
}

fn call_error(what: &'static str, path: &Path, error: io::Error) -> io::Error {
    let path = path.to_path_buf();
    io::Error::new(error.kind(), Failed { what, path, error })
}

/// A failed call on a subvolume, with the kernel's error.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {error}", path.display())]
struct Failed {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}
