//! Does what commands say, beneath one subvolume.
//!
//! Every path is walked by the kernel beneath the subvolume, and over no link: the sender's kernel names none that
//! needs one. What is opened is a regular file; a device that the same stream has made is not. Not for reading commands.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate, openat, renameat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, ftruncate, linkat, symlinkat, unlinkat};

use super::command::{Clone, Command, Identity, Made, Time};
use crate::fs::opener::{self, descriptor_path};
use crate::fs::rooted::Tree;

/// The name of a directory in itself, for what is to be done to the top.
const ITSELF: &str = ".";

/// What everybody is made with, until its own mode comes.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// What a hole begins and ends at, in bytes: the least that btrfs has as a block.
const BLOCK: u64 = 4096;

/// A subvolume that a stream is applied to.
#[derive(Debug)]
pub(super) struct Place<'t> {
    tree: &'t Tree,
    own: Identity,
    parent: Option<(&'t Tree, Identity)>,
    /// The file that was written last: mostly the next command writes it on.
    open: Option<(PathBuf, File)>,
    /// The files that the parent has not, by inode number.
    new: HashSet<u64>,
    /// The times of the top, as the sender has them: access, then change of content.
    top: Option<(Time, Time)>,
}

impl<'t> Place<'t> {
    pub(super) fn new(
        tree: &'t Tree,
        own: Identity,
        parent: Option<(&'t Tree, Identity)>,
    ) -> Result<Self> {
        let times = |(tree, _)| -> Result<(Time, Time)> {
            let found = look(tree, Path::new(""))?.metadata()?;
            let nanoseconds = |n: i64| u32::try_from(n).unwrap_or_default();
            Ok((
                (found.atime(), nanoseconds(found.atime_nsec())),
                (found.mtime(), nanoseconds(found.mtime_nsec())),
            ))
        };
        Ok(Self {
            tree,
            own,
            parent,
            open: None,
            new: HashSet::new(),
            top: parent.map(times).transpose()?,
        })
    }

    /// Gives the top its times again.
    ///
    /// The sender's kernel makes what is new at the top first and moves it then, and says nothing of the top unless it
    /// was changed there.
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
                return Ok(ftruncate(self.opened(path)?, i64::try_from(size)?)?);
            }
            _ => {}
        }
        // What it is called may be another file from now on.
        self.open = None;
        match *command {
            Command::Make(path, made) => self.make(path, made),
            Command::Rename(from, to) => {
                let ((from_dir, from), (to_dir, to)) = (self.named(from)?, self.named(to)?);
                Ok(renameat(&from_dir, from, &to_dir, to)?)
            }
            Command::HardLink(new, old) => {
                let ((new_dir, new), (old_dir, old)) = (self.named(new)?, self.named(old)?);
                Ok(linkat(&old_dir, old, &new_dir, new, AtFlags::empty())?)
            }
            Command::Unlink(path) => self.remove(path, UnlinkatFlags::NoRemoveDir),
            Command::RemoveDirectory(path) => self.remove(path, UnlinkatFlags::RemoveDir),
            Command::SetAttribute(path, name, value) => {
                Ok(xattr::set(self.by_name(path)?.path(), name, value)?)
            }
            Command::RemoveAttribute(path, name) => {
                Ok(xattr::remove(self.by_name(path)?.path(), name)?)
            }
            Command::Mode(path, mode) => self.mode(path, mode),
            Command::Owner(path, uid, gid) => {
                let at = self.by_name(path)?;
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
            _ => bail!("it says so in the wrong place"),
        }
    }

    fn make(&mut self, path: &Path, made: Made<'_>) -> Result<()> {
        let (dir, name) = self.named(path)?;
        let node = |kind, number| mknodat(&dir, name, kind, PRIVATE, number);
        match made {
            Made::File => {
                let flags = OFlag::O_WRONLY
                    | OFlag::O_CREAT
                    | OFlag::O_EXCL
                    | OFlag::O_NOFOLLOW
                    | OFlag::O_CLOEXEC;
                let file = File::from(openat(&dir, name, flags, PRIVATE)?);
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
                    "it is no device"
                );
                node(kind, number)
            }
            Made::Link(target) => symlinkat(target, &dir, name),
        }?;
        Ok(())
    }

    fn remove(&self, path: &Path, how: UnlinkatFlags) -> Result<()> {
        let (dir, name) = self.named(path)?;
        Ok(unlinkat(&dir, name, how)?)
    }

    fn mode(&self, path: &Path, mode: u32) -> Result<()> {
        let found = look(self.tree, path)?;
        ensure!(
            !found.metadata()?.is_symlink(),
            "a link has no mode of its own"
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777);
        Ok(std::fs::set_permissions(descriptor_path(&found), mode)?)
    }

    fn times(&self, path: &Path, accessed: Time, modified: Time) -> Result<()> {
        let at = self.by_name(path)?;
        let time = |(seconds, nanoseconds)| TimeSpec::new(seconds, i64::from(nanoseconds));
        let (accessed, modified) = (time(accessed), time(modified));
        let flags = UtimensatFlags::NoFollowSymlink;
        let name = at.name.as_os_str();
        Ok(utimensat(&at.directory, name, &accessed, &modified, flags)?)
    }

    fn write(&mut self, path: &Path, at: u64, data: &[u8]) -> Result<()> {
        // What is a hole in a file that the parent has, too, is sent as zeros; in a new one somebody has written them.
        let hole = self.parent.is_some() && is_hole(at, data);
        self.opened(path)?;
        let Some((_, file)) = &self.open else {
            bail!("it is not open");
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
            _ if clone.within == self.own => self.tree,
            Some((tree, parent)) if clone.within == *parent => tree,
            _ => bail!("the data is of a subvolume that it does not name"),
        };
        let from = regular(within, clone.from, OFlag::O_RDONLY)?;
        let to = self.opened(clone.to)?;
        ficlonerange(to, clone.at, &from, clone.from_at, clone.length)?;
        Ok(())
    }

    /// Opens a file to be written, or gives back the one that is open.
    fn opened(&mut self, path: &Path) -> Result<&File> {
        let same = self.open.as_ref().is_some_and(|(open, _)| open == path);
        if !same {
            let file = regular(self.tree, path, OFlag::O_WRONLY)?;
            self.open = Some((path.to_path_buf(), file));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => bail!("it is not open"),
        }
    }

    /// Opens the directory a path's last part stands in.
    fn named<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) => Ok((directory(self.tree, above)?, name)),
            _ => bail!("it is the top"),
        }
    }

    /// Returns what a path names, be it the top.
    fn by_name(&self, path: &Path) -> Result<Named> {
        let (directory, name) = match path.as_os_str().is_empty() {
            true => (directory(self.tree, path)?, OsStr::new(ITSELF)),
            false => self.named(path)?,
        };
        Ok(Named {
            directory,
            name: name.into(),
        })
    }
}

/// A name in an open directory.
struct Named {
    directory: OwnedFd,
    name: std::ffi::OsString,
}

impl Named {
    /// Returns a path for calls that take nothing else; only its last part can be a link, which they do not follow.
    fn path(&self) -> PathBuf {
        descriptor_path(&self.directory).join(&self.name)
    }
}

fn directory(tree: &Tree, path: &Path) -> nix::Result<OwnedFd> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new(ITSELF),
        false => path,
    };
    tree.open_path_without_links(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
}

/// Finds what stands at a path, and opens nothing.
fn look(tree: &Tree, path: &Path) -> nix::Result<File> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new(ITSELF),
        false => path,
    };
    tree.open_path_without_links(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
        .map(File::from)
}

/// Opens a regular file; what else stands there is looked at and not woken.
fn regular(tree: &Tree, path: &Path, flags: OFlag) -> Result<File> {
    match opener::reopen(&look(tree, path)?, flags) {
        Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => bail!("it is no regular file"),
        opened => Ok(File::from(opened?)),
    }
}

/// Returns whether data is what a hole reads as, and stands where one can be.
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
    // To the kernel a length of nothing means all there is.
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let range = Range {
        src_fd: from.as_raw_fd().into(),
        src_offset: from_at,
        src_length: length,
        dest_offset: at,
    };
    // SAFETY: both descriptors are open for the call's time, and Range has the layout and size (asserted above) of the
    // structure the kernel reads; it keeps nothing.
    unsafe { call::ficlonerange(to.as_raw_fd(), &raw const range) }.map(drop)
}
