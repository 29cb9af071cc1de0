//! Subvolumes: the one place that names the `btrfsutil` crate.
//!
//! Promises errors with errno and path, and that a snapshot onto a name that exists is an error and
//! never a nested snapshot. Uses of the crate that are known to be broken (its iterator, the default
//! subvolume, quota groups, resolving ids) stay out, and so does all that goes by path into what a node owns: subvolumes in
//! a subvolume are found and deleted by number. Not for space accounting.

mod deletion;
mod nested;

pub mod identity;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::{SnapshotFlags, Subvolume};
use jiff::Timestamp;

use crate::fs::opener;

pub use deletion::{delete, delete_nested, delete_open, make_changeable};
pub use nested::{Nested, directory_in, nested};

/// The inode number of every subvolume's top directory (`BTRFS_FIRST_FREE_OBJECTID`, btrfs_tree.h).
const SUBVOLUME_INODE: u64 = 256;

/// `BTRFS_ROOT_SUBVOL_RDONLY` of linux/btrfs_tree.h.
const READ_ONLY: u64 = 1;

/// What the kernel says of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Number of the subvolume in its filesystem, never given twice.
    pub id: u64,
    /// The subvolume's own identity, another one for every snapshot.
    pub uuid: Uuid,
    /// Of what this is a snapshot.
    pub parent_uuid: Option<Uuid>,
    /// When it was made, UTC.
    pub created: Timestamp,
    /// Transaction it was made in: what is written into it later has a higher number.
    pub made: u64,
    /// Transaction of the last change.
    pub generation: u64,
    /// Transaction of the last change of a file or name in it.
    pub changed: u64,
    /// Whether nothing can be changed in it.
    pub read_only: bool,
}

/// A UUID, printed as `8-4-4-4-12` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Makes an empty subvolume; the name must be free.
pub fn create(path: &Path) -> io::Result<()> {
    answered(path, "cannot make subvolume", || {
        Subvolume::create(path, None)
    })
    .map(drop)
}

/// Makes `path` a writable snapshot of the subvolume `source`; the name must be free.
///
/// Nested subvolumes of the source arrive as empty directories: see [`nested`].
///
/// # Errors
/// `ETXTBSY` when the source holds an active swap file, `EEXIST`, `EROFS`, `ENOSPC`, `EXDEV`.
pub fn snapshot(source: &Path, path: &Path) -> io::Result<()> {
    answered(path, "cannot make snapshot", || {
        Subvolume::get(source)?.snapshot(path, None, None)
    })
    .map(drop)
}

/// Makes `path` a snapshot of the subvolume `source` that nothing can be changed in; the name must be free.
pub fn snapshot_read_only(source: &Path, path: &Path) -> io::Result<()> {
    answered(path, "cannot make snapshot", || {
        Subvolume::get(source)?.snapshot(path, Some(SnapshotFlags::READ_ONLY), None)
    })
    .map(drop)
}

/// Lets nothing be changed in a subvolume from now on.
///
/// What was written before may still be on its way to the disk: [`sync`] comes first.
pub fn make_read_only(path: &Path) -> io::Result<()> {
    answered(path, "cannot make read-only", || {
        Subvolume::get(path)?.set_ro(true)
    })
}

/// Returns what the kernel says of the subvolume at `path`; needs `CAP_SYS_ADMIN`.
pub fn info(path: &Path) -> io::Result<Info> {
    let info = answered(path, "cannot read subvolume", || {
        Subvolume::get(path)?.info()
    })?;
    Ok(Info {
        id: info.id,
        uuid: Uuid(*info.uuid.as_bytes()),
        parent_uuid: info.parent_uuid.map(|u| Uuid(*u.as_bytes())),
        created: Timestamp::from_second(info.otime.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH),
        made: info.otransid,
        generation: info.generation,
        changed: info.ctransid,
        read_only: info.flags & READ_ONLY != 0,
    })
}

/// Returns whether what is open is the top of a btrfs subvolume.
pub(crate) fn is_top(directory: &impl AsFd) -> nix::Result<bool> {
    Ok(nix::sys::stat::fstat(directory)?.st_ino == SUBVOLUME_INODE
        && nix::sys::statfs::fstatfs(directory)?.filesystem_type()
            == nix::sys::statfs::BTRFS_SUPER_MAGIC)
}

/// Returns whether `path` is the top of a btrfs subvolume; false where there is nothing.
///
/// # Errors
/// When the system does not say.
pub fn is_subvolume(path: &Path) -> io::Result<bool> {
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    // The inode number alone would also fit an ordinary file of another filesystem, so both are asked.
    Ok(found.is_dir() && found.ino() == SUBVOLUME_INODE && lies_on_btrfs(path)?)
}

/// Returns whether `path` lies on a btrfs filesystem.
///
/// # Errors
/// When the system does not say.
pub fn lies_on_btrfs(path: &Path) -> io::Result<bool> {
    let found = nix::sys::statfs::statfs(path)?;
    Ok(found.filesystem_type() == nix::sys::statfs::BTRFS_SUPER_MAGIC)
}

/// Makes everything written so far on the filesystem of `path` durable: data first, then one commit.
///
/// `syncfs(2)`, not btrfs' own sync: that commits a transaction without flushing file data first, and a
/// file written just before would be empty after a power cut.
pub fn sync(path: &Path) -> io::Result<()> {
    let file = opener::directory(path).map_err(|e| failed("cannot open", path, e))?;
    nix::unistd::syncfs(&file).map_err(|e| failed("cannot sync", path, e.into()))
}

/// Runs one call of the crate and gives its error the errno that the crate's own type loses.
fn answered<T>(
    path: &Path,
    what: &str,
    call: impl FnOnce() -> Result<T, btrfsutil::BtrfsUtilError>,
) -> io::Result<T> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        // The crate panics on it.
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // Read at once: the next call of anything overwrites the thread's errno.
    call().map_err(|_| failed(what, path, io::Error::last_os_error()))
}

fn failed(what: &str, path: &Path, error: io::Error) -> io::Error {
    let path: PathBuf = path.to_path_buf();
    let kind = error.kind();
    io::Error::new(
        kind,
        Failed {
            what: what.to_string(),
            path,
            error,
        },
    )
}

/// A failed call on a subvolume, the kernel's own error kept as the source.
#[derive(Debug)]
struct Failed {
    what: String,
    path: PathBuf,
    error: io::Error,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.what, self.path.display(), self.error)
    }
}

impl std::error::Error for Failed {}
