//! Applies commands of a send stream to a subvolume.
//!
//! The kernel resolves every path inside the subvolume without following links; a sender's kernel names none that
//! needs one. Only regular files are opened: not a device that the stream has made. Commands are parsed elsewhere.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate, renameat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, ftruncate, linkat, symlinkat, unlinkat};

use super::command::{Clone, Command, Identity, Made, Time};
use crate::fs::opener::{self, descriptor_path};
use crate::fs::rooted::Tree;

/// The path of the top directory.
const TOP_PATH: &str = ".";

/// Mode of new files until their own is set.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Granularity of holes, in bytes: the smallest block of btrfs.
const BLOCK: u64 = 4096;

/// The subvolume that a stream is applied to.
#[derive(Debug)]
pub(super) struct Target<'t> {
    tree: &'t Tree,
    identity: Identity,
    parent: Option<(&'t Tree, Identity)>,
    /// The file written last: most commands write the same file as the one before.
    open: Option<(PathBuf, File)>,
    /// Inode numbers of files that the parent does not have.
    new: HashSet<u64>,
    /// Access and modification time of the top on the sender.
    top: Option<(Time, Time)>,
}

impl<'t> Target<'t> {
    pub(super) fn new(
        tree: &'t Tree,
        identity: Identity,
        parent: Option<(&'t Tree, Identity)>,
    ) -> Result<Self> {
        let times = |(tree, _)| -> Result<(Time, Time)> {
            let found = open_path(tree, Path::new(""))?.metadata()?;
            let nanoseconds = |n: i64| u32::try_from(n).unwrap_or_default();
            Ok((
                (found.atime(), nanoseconds(found.atime_nsec())),
                (found.mtime(), nanoseconds(found.mtime_nsec())),
            ))
        };
        Ok(Self {
            tree,
            identity,
            parent,
            open: None,
            new: HashSet::new(),
            top: parent.map(times).transpose()?,
        })
    }

    /// Restores the times of the top.
    ///
    /// A sender's kernel creates new files in the top directory and then moves them; it sends times of the top
    /// only where the top was changed itself.
    pub(super) fn finish(self) -> Result<()> {
        match self.top {
            Some((accessed, modified)) => self.times(Path::new(""), accessed, modified),
            None => Ok(()),
        }
    }

    pub(super) fn apply(&mut self, command: &Command<'_>) -> Result<()> {
        match *command {
            Command::Write(path, at, data) => return self.write(path, at, data),
            Command::Clone(ref clone) => return self.share(clone),
            Command::Truncate(path, size) => {
                return Ok(ftruncate(self.open_file(path)?, i64::try_from(size)?)?);
            }
            _ => {}
        }
        // The command may give the path to another file.
        self.open = None;
        match *command {
            Command::Make(path, made) => self.make(path, made),
            Command::Rename(from, to) => {
                let ((from_dir, from), (to_dir, to)) =
                    (self.open_parent(from)?, self.open_parent(to)?);
                Ok(renameat(&from_dir, from, &to_dir, to)?)
            }
            Command::HardLink(new, old) => {
                let ((new_dir, new), (old_dir, old)) =
                    (self.open_parent(new)?, self.open_parent(old)?);
                Ok(linkat(&old_dir, old, &new_dir, new, AtFlags::empty())?)
            }
            Command::Unlink(path) => self.remove(path, UnlinkatFlags::NoRemoveDir),
            Command::RemoveDirectory(path) => self.remove(path, UnlinkatFlags::RemoveDir),
            Command::SetAttribute(path, name, value) => {
                Ok(xattr::set(self.entry(path)?.path(), name, value)?)
            }
            Command::RemoveAttribute(path, name) => {
                Ok(xattr::remove(self.entry(path)?.path(), name)?)
            }
            Command::Mode(path, mode) => self.mode(path, mode),
            Command::Owner(path, uid, gid) => {
                let at = self.entry(path)?;
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                Ok(fchownat(
                    &at.directory,
                    at.name.as_os_str(),
                    uid,
                    gid,
                    flags,
                )?)
            }
            Command::Times(path, accessed, modified) => {
                if path.as_os_str().is_empty() {
                    self.top = Some((accessed, modified));
                }
                self.times(path, accessed, modified)
            }
            _ => bail!("the send stream has this command in the wrong place"),
        }
    }

    fn make(&mut self, path: &Path, made: Made<'_>) -> Result<()> {
        let (dir, name) = self.open_parent(path)?;
        let node = |kind, number| mknodat(&dir, name, kind, PRIVATE, number);
        match made {
            Made::File => {
                let file = opener::new_file_at(&dir, name)?;
                if self.parent.is_some() {
                    self.new.insert(file.metadata()?.ino());
                }
                Ok(())
            }
            Made::Directory => mkdirat(&dir, name, Mode::S_IRWXU),
            Made::Pipe => node(SFlag::S_IFIFO, 0),
            Made::Socket => node(SFlag::S_IFSOCK, 0),
            Made::Device(mode, number) => {
                let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
                ensure!(
                    kind == SFlag::S_IFCHR || kind == SFlag::S_IFBLK,
                    "the file to make is not a device"
                );
                node(kind, number)
            }
            Made::Link(target) => symlinkat(target, &dir, name),
        }?;
        Ok(())
    }

    fn remove(&self, path: &Path, how: UnlinkatFlags) -> Result<()> {
        let (dir, name) = self.open_parent(path)?;
        Ok(unlinkat(&dir, name, how)?)
    }

    fn mode(&self, path: &Path, mode: u32) -> Result<()> {
        let found = open_path(self.tree, path)?;
        ensure!(
            !found.metadata()?.is_symlink(),
            "a symbolic link has no mode"
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777);
        Ok(std::fs::set_permissions(descriptor_path(&found), mode)?)
    }

    fn times(&self, path: &Path, accessed: Time, modified: Time) -> Result<()> {
        let at = self.entry(path)?;
        let time = |(seconds, nanoseconds)| TimeSpec::new(seconds, i64::from(nanoseconds));
        let (accessed, modified) = (time(accessed), time(modified));
        let flags = UtimensatFlags::NoFollowSymlink;
        let name = at.name.as_os_str();
        Ok(utimensat(&at.directory, name, &accessed, &modified, flags)?)
    }

    fn write(&mut self, path: &Path, at: u64, data: &[u8]) -> Result<()> {
        // For a file that exists in the parent, zeros are a hole; in a new file they are written data.
        let hole = self.parent.is_some() && is_hole(at, data);
        self.open_file(path)?;
        let Some((_, file)) = &self.open else {
            bail!("the file is not open");
        };
        let end = at.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        let found = file.metadata()?;
        let whole_blocks = end.is_multiple_of(BLOCK) || end >= found.len();
        if !hole || !whole_blocks || self.new.contains(&found.ino()) {
            return Ok(file.write_all_at(data, at)?);
        }
        if end > found.len() {
            ftruncate(file, i64::try_from(end)?)?;
        }
        let (at, length) = (i64::try_from(at)?, i64::try_from(data.len())?);
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        Ok(fallocate(file, flags, at, length)?)
    }

    fn share(&mut self, clone: &Clone<'_>) -> Result<()> {
        let within = match &self.parent {
            _ if clone.within == self.identity => self.tree,
            Some((tree, parent)) if clone.within == *parent => tree,
            _ => bail!("the data to share is of a subvolume other than this one and its parent"),
        };
        let from = open_regular(within, clone.from, OFlag::O_RDONLY)?;
        let to = self.open_file(clone.to)?;
        ficlonerange(to, clone.at, &from, clone.from_at, clone.length)?;
        Ok(())
    }

    /// Opens a file for writing, or returns the one that is open.
    fn open_file(&mut self, path: &Path) -> Result<&File> {
        let same = self.open.as_ref().is_some_and(|(open, _)| open == path);
        if !same {
            let file = open_regular(self.tree, path, OFlag::O_WRONLY)?;
            self.open = Some((path.to_path_buf(), file));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => bail!("the file is not open"),
        }
    }

    /// Opens the parent directory of a path; returns the last component too.
    fn open_parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) => Ok((directory(self.tree, above)?, name)),
            _ => bail!("the path is the top of the subvolume"),
        }
    }

    /// Returns a path as a name in a directory, also for the top.
    fn entry(&self, path: &Path) -> Result<Entry> {
        let (directory, name) = match path.as_os_str().is_empty() {
            true => (directory(self.tree, path)?, OsStr::new(TOP_PATH)),
            false => self.open_parent(path)?,
        };
        Ok(Entry {
            directory,
            name: name.into(),
        })
    }
}

/// A name in an open directory.
struct Entry {
    directory: OwnedFd,
    name: std::ffi::OsString,
}

impl Entry {
    /// Returns a path for calls that take only paths; they do not follow a link in its last component.
    fn path(&self) -> PathBuf {
        descriptor_path(&self.directory).join(&self.name)
    }
}

fn directory(tree: &Tree, path: &Path) -> nix::Result<OwnedFd> {
    found(tree, path, OFlag::O_DIRECTORY)
}

/// Opens a path with `O_PATH`.
fn open_path(tree: &Tree, path: &Path) -> nix::Result<File> {
    found(tree, path, OFlag::O_NOFOLLOW).map(File::from)
}

fn found(tree: &Tree, path: &Path, how: OFlag) -> nix::Result<OwnedFd> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new(TOP_PATH),
        false => path,
    };
    tree.open_path_without_links(path, OFlag::O_PATH | how)
}

/// Opens a regular file; the type is checked before it is opened.
fn open_regular(tree: &Tree, path: &Path, flags: OFlag) -> Result<File> {
    match opener::reopen(&open_path(tree, path)?, flags) {
        Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => bail!("it is not a regular file"),
        open_file => Ok(File::from(open_file?)),
    }
}

/// Returns whether data is all zeros and aligned like a hole.
fn is_hole(at: u64, data: &[u8]) -> bool {
    at.is_multiple_of(BLOCK) && !data.is_empty() && data.iter().all(|b| *b == 0)
}

/// `struct file_clone_range` of linux/fs.h.
#[repr(C)]
struct Range {
    src_fd: i64,
    src_offset: u64,
    src_length: u64,
    dest_offset: u64,
}

const _: () = assert!(size_of::<Range>() == 32);

mod call {
    use super::Range;

    nix::ioctl_write_ptr!(ficlonerange, 0x94, 13, Range);
}

#[allow(unsafe_code)]
fn ficlonerange(to: &File, at: u64, from: &File, from_at: u64, length: u64) -> nix::Result<()> {
    // For the kernel, length 0 means all of the file.
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let range = Range {
        src_fd: from.as_raw_fd().into(),
        src_offset: from_at,
        src_length: length,
        dest_offset: at,
    };
    // SAFETY: both descriptors are open during the call, and Range has the layout and size (asserted above) of
    // the structure the kernel reads; it keeps no pointer.
    unsafe { call::ficlonerange(to.as_raw_fd(), &raw const range) }.map(drop)
}
