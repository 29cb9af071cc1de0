//! Subvolumes: the one place that names the `btrfsutil` crate.
//!
//! Promises errors with errno and path, and that a snapshot onto a name that exists is an error and
//! never a nested snapshot. Uses of the crate that are known to be broken (its iterator, the default
//! subvolume, quota groups, resolving ids) stay out. Not for space accounting.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::{SnapshotFlags, Subvolume};
use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::beneath::{Tree, descriptor_path};

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

/// Deletes a subvolume and the subvolumes in it; space comes back in the background.
///
/// Not durable by itself: a crash can bring the subvolume back until the next [`sync`].
pub fn delete(path: &Path) -> io::Result<()> {
    for inner in nested(path)?.iter().rev() {
        // Through the descriptor of its directory: a link swapped in meanwhile cannot lead outside.
        let tree = Tree::open(path)?;
        let (parent, name) = tree.parent(inner)?;
        delete_one(&descriptor_path(&parent).join(name))?;
    }
    delete_one(path)
}

fn delete_one(path: &Path) -> io::Result<()> {
    answered(path, "cannot delete subvolume", || {
        Subvolume::get(path)?.delete(None)
    })
    .map_err(|e| match e.kind() {
        // Root lacks no permission: the kernel keeps the one that is mounted where none is named.
        io::ErrorKind::PermissionDenied => io::Error::new(
            e.kind(),
            format!("{e}; is it the filesystem's default one? (btrfs subvolume get-default)"),
        ),
        _ => e,
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
    let file = File::open(path).map_err(|e| failed("cannot open", path, e))?;
    nix::unistd::syncfs(&file).map_err(|e| failed("cannot sync", path, e.into()))
}

/// Returns the subvolumes inside the one at `path`, relative to it, each before those inside it.
pub fn nested(path: &Path) -> io::Result<Vec<String>> {
    let tree = Tree::open(path)?;
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(at) = waiting.pop() {
        let top = tree.open_at(&at, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        for inner in children::of(&top).map_err(|e| failed("cannot list subvolumes in", path, e))? {
            let inner = if at.is_empty() {
                inner
            } else {
                format!("{at}/{inner}")
            };
            found.push(inner.clone());
            waiting.push(inner);
        }
    }
    found.sort();
    Ok(found)
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

/// The two system calls that name the subvolumes inside a subvolume, which the crate lacks.
mod children {
    use super::{AsRawFd, io};

    const IDS: usize = 255;

    /// `struct btrfs_ioctl_get_subvol_rootref_args` of linux/btrfs.h.
    #[repr(C)]
    struct RootRefs {
        min_treeid: u64,
        rootref: [[u64; 2]; IDS],
        num_items: u8,
        align: [u8; 7],
    }

    /// `struct btrfs_ioctl_ino_lookup_user_args` of linux/btrfs.h.
    #[repr(C)]
    struct Lookup {
        dirid: u64,
        treeid: u64,
        name: [u8; 256],
        path: [u8; 3824],
    }

    const _: () = assert!(size_of::<RootRefs>() == 4096 && size_of::<Lookup>() == 4096);

    nix::ioctl_readwrite!(get_subvol_rootref, 0x94, 61, RootRefs);
    nix::ioctl_readwrite!(ino_lookup_user, 0x94, 62, Lookup);

    /// Returns the paths of the subvolumes directly inside the one `top` is open on.
    pub(super) fn of(top: &impl AsRawFd) -> io::Result<Vec<String>> {
        let mut refs = Box::new(RootRefs {
            min_treeid: 0,
            rootref: [[0; 2]; IDS],
            num_items: 0,
            align: [0; 7],
        });
        let mut found = Vec::new();
        loop {
            let more = match root_refs(top, &mut refs) {
                Ok(()) => false,
                // More than fit in one answer; min_treeid now says where to go on.
                Err(nix::Error::EOVERFLOW) => true,
                Err(e) => return Err(e.into()),
            };
            for [treeid, dirid] in refs.rootref.iter().take(usize::from(refs.num_items)) {
                found.push(path_of(top, *dirid, *treeid)?);
            }
            if !more {
                return Ok(found);
            }
        }
    }

    #[allow(unsafe_code)]
    fn root_refs(top: &impl AsRawFd, refs: &mut RootRefs) -> nix::Result<()> {
        // SAFETY: the descriptor is open for the call's time, and RootRefs has the layout and size
        // (asserted above) the kernel reads and writes; it keeps no pointer.
        unsafe { get_subvol_rootref(top.as_raw_fd(), refs) }.map(drop)
    }

    #[allow(unsafe_code)]
    fn path_of(top: &impl AsRawFd, dirid: u64, treeid: u64) -> io::Result<String> {
        let mut lookup = Box::new(Lookup {
            dirid,
            treeid,
            name: [0; 256],
            path: [0; 3824],
        });
        // SAFETY: as above, for Lookup.
        unsafe { ino_lookup_user(top.as_raw_fd(), &raw mut *lookup) }?;
        let text = |bytes: &[u8]| -> io::Result<String> {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8(bytes[..end].to_vec())
                .map_err(|_| io::Error::other("a nested subvolume's name is not UTF-8"))
        };
        Ok(format!("{}{}", text(&lookup.path)?, text(&lookup.name)?))
    }
}
