//! Files inside an environment, opened without ever leaving it.
//!
//! A node owns its root and can plant `etc -> /etc`, a device or a pipe anywhere in it. A [`Tree`] resolves
//! every path with `openat2(2)` and `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, so symbolic links end inside.
//! [`super::opener`] opens only regular files and directories. Reads are bounded, and end after a stop request.
//! Not for paths of the pool itself.

mod change;
mod half_replaced;
mod noted;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::Mode;
use rustix::fs::Dir;

use super::interrupt;
use super::opener::{self, descriptor_path};
use super::path_error::{at_path, with_path};
pub use half_replaced::replacement;
use noted::Noted;

/// The largest file that is read whole, in bytes: far larger than any text that netbe edits.
const TEXT_LIMIT: u64 = 4 << 20;

/// The largest directory that is listed: larger ones hold nothing that netbe looks for, and each name takes memory.
pub const NAMES_MAX: usize = 1 << 17;

/// How many times a path is resolved again: mostly a few times are enough, and this many take seconds.
const ATTEMPTS: u32 = 10_000;

/// A directory outside of which no path is resolved.
#[derive(Debug)]
pub struct Tree {
    top: OwnedFd,
    path: PathBuf,
    durable: bool,
    noted: Option<Noted>,
}

impl Tree {
    /// Opens a directory by a path without symbolic links.
    ///
    /// A writer on the NFS exports could replace a half by a symbolic link to the server's `/`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let top = openat2(AT_FDCWD, path, how).map_err(|e| with_path(e, path))?;
        Ok(Self::new(top, path))
    }

    /// Opens the directory of a descriptor as a tree.
    pub fn open_descriptor(fd: &impl AsRawFd) -> io::Result<Self> {
        let path = descriptor_path(fd);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let top = nix::fcntl::open(&path, flags, Mode::empty()).map_err(|e| with_path(e, &path))?;
        Ok(Self::new(top, &path))
    }

    fn new(top: OwnedFd, path: &Path) -> Self {
        Self {
            top,
            path: path.to_path_buf(),
            durable: false,
            noted: None,
        }
    }

    /// Syncs content before it replaces a file.
    ///
    /// For files that machines may boot: the filesystem may commit at any time, without the data. A stage does
    /// not need it: it is synced as a whole before it is published.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sets another path of the tree for messages.
    #[must_use]
    pub fn shown_as(mut self, path: &Path) -> Self {
        self.path = path.to_path_buf();
        self
    }

    /// Returns the tree's path on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path in the tree; absolute paths and symbolic links start at its top.
    ///
    /// `O_CLOEXEC` is added. `O_CREAT` works. A final symbolic link is followed inside, unless `O_NOFOLLOW`. Without
    /// `O_PATH`, anything but a regular file, or with `O_DIRECTORY` a directory, is an error and not opened.
    pub fn open_at(&self, path: &str, flags: OFlag, mode: Mode) -> io::Result<OwnedFd> {
        self.open_path(Path::new(relative(path)), flags, mode)
            .map_err(|e| self.error(e, path))
    }

    /// Opens a path in the tree that has no symbolic link; one is `ELOOP`.
    pub fn open_without_links(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = flags | OFlag::O_NOFOLLOW;
        self.open_resolved(Path::new(relative(path)), flags, Mode::empty(), resolve)
            .map_err(|e| self.error(e, path))
    }

    /// As [`Self::open_at`], for a path that need not be UTF-8; returns the bare error number.
    pub fn open_path(&self, path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        self.open_resolved(path, flags, mode, ResolveFlag::empty())
    }

    /// Opens a path without symbolic links that need not be UTF-8; returns the bare error number.
    ///
    /// With `O_PATH` and `O_NOFOLLOW` the last component may be a symbolic link, which is opened itself.
    pub fn open_path_without_links(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        self.open_resolved(path, flags, Mode::empty(), SAME_MOUNT)
    }

    /// Opens a path; anything but a directory only after a check of its type.
    fn open_resolved(
        &self,
        path: &Path,
        flags: OFlag,
        mode: Mode,
        resolve: ResolveFlag,
    ) -> nix::Result<OwnedFd> {
        let how = |flags: OFlag, mode| {
            OpenHow::new()
                .flags(flags | OFlag::O_CLOEXEC)
                .mode(mode)
                .resolve(
                    resolve | ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS,
                )
        };
        if flags.intersects(OFlag::O_PATH | OFlag::O_DIRECTORY) {
            return self.resolve(path, how(flags, Mode::empty()));
        }
        let new = OFlag::O_CREAT | OFlag::O_EXCL;
        if flags.contains(OFlag::O_CREAT) {
            match self.resolve(path, how(flags | new, mode)) {
                Err(Errno::EEXIST) if !flags.contains(OFlag::O_EXCL) => {}
                made => return made,
            }
        }
        let place = OFlag::O_PATH | flags.intersection(OFlag::O_NOFOLLOW);
        let place = self.resolve(path, how(place, Mode::empty()))?;
        opener::reopen(&place, flags.difference(new | OFlag::O_NOFOLLOW))
    }

    /// Opens a regular file for reading by a path without symbolic links and mount points; `None` for anything else.
    ///
    /// The type is checked on the descriptor that is reopened, so no device is opened and no swap has effect.
    /// The access time is not changed where allowed.
    pub fn plain_file(&self, path: &Path) -> io::Result<Option<File>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let found = match self.open_resolved(path, flags, Mode::empty(), SAME_MOUNT) {
            Ok(found) => found,
            Err(
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ENAMETOOLONG,
            ) => return Ok(None),
            Err(e) => return Err(with_path(e, &self.path.join(path))),
        };
        match opener::reopen(&found, OFlag::O_RDONLY) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(with_path(e, &self.path.join(path))),
        }
    }

    /// Resolves a path, again while the kernel returns EAGAIN.
    ///
    /// With `..` in the path and a rename or mount anywhere on the machine, the kernel cannot tell whether the
    /// path stayed inside: openat2(2).
    fn resolve<P: ?Sized + NixPath>(&self, path: &P, how: OpenHow) -> nix::Result<OwnedFd> {
        let mut attempts = 0;
        loop {
            match openat2(self.top.as_fd(), path, how) {
                Err(Errno::EAGAIN) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
    }

    /// Opens a regular file for reading; `None` if it does not exist.
    ///
    /// Any other type is an error (a pipe would block, a device may act).
    pub fn open_file(&self, path: &str) -> io::Result<Option<File>> {
        let place = match self.open_path(Path::new(relative(path)), OFlag::O_PATH, Mode::empty()) {
            Ok(place) => place,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(e) => return Err(self.error(e, path)),
        };
        match opener::reopen(&place, OFlag::O_RDONLY) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => Err(io::Error::other(format!(
                "{} is not a regular file",
                self.path.join(relative(path)).display()
            ))),
            Err(e) => Err(self.error(e, path)),
        }
    }

    /// Returns a regular file's content; `None` if it does not exist, an error above 4 MiB.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        if file.metadata()?.len() > TEXT_LIMIT {
            return Err(io::Error::other(format!(
                "{} is larger than 4 MiB",
                self.path.join(relative(path)).display()
            )));
        }
        let mut bytes = Vec::new();
        interrupt::Reader::new(file)
            .take(TEXT_LIMIT)
            .read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Returns a text file's content; `None` if it does not exist, an error if it is not UTF-8.
    pub fn read_text(&self, path: &str) -> io::Result<Option<String>> {
        self.read(path)?
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|_| {
                    io::Error::other(format!(
                        "{} is not UTF-8 text",
                        self.path.join(relative(path)).display()
                    ))
                })
            })
            .transpose()
    }

    /// Returns the first `limit` bytes of a regular file; `None` if it does not exist.
    pub fn head(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        interrupt::Reader::new(file)
            .take(limit as u64)
            .read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Returns a path's status, symbolic links followed inside; `None` if it does not exist.
    pub fn metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.status(path, OFlag::O_PATH)
    }

    /// Returns a path's status, a final symbolic link not followed; `None` if it does not exist.
    pub fn symlink_metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.status(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
    }

    /// Returns the names in a directory, sorted; empty if it does not exist, an error above [`NAMES_MAX`].
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        if !self.metadata(path)?.is_some_and(|m| m.is_dir()) {
            return Ok(Vec::new());
        }
        let fd = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let failed = |e: rustix::io::Errno| at_path(&e.into(), &self.path.join(relative(path)));
        let mut names = Vec::new();
        for (count, entry) in Dir::new(fd).map_err(failed)?.enumerate() {
            interrupt::check_io()?;
            if count > NAMES_MAX {
                return Err(self.too_many_names(relative(path)));
            }
            let entry = entry.map_err(failed)?;
            // Firmware, kernel and netbe use no names that are not UTF-8.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_string());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns a symbolic link's text.
    pub fn link_target(&self, path: &str) -> io::Result<PathBuf> {
        let (parent, name) = self.parent(path)?;
        readlinkat(&parent, name.as_str())
            .map(PathBuf::from)
            .map_err(|e| self.error(e, path))
    }

    /// Opens the parent directory of a path, and returns the last component.
    ///
    /// For calls that take a directory and a name (`mknodat`, `utimensat`, …). An empty last component, `.` and
    /// `..` are errors.
    pub fn parent(&self, path: &str) -> io::Result<(OwnedFd, String)> {
        let path = relative(path).trim_end_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path:?} names no file"),
            ));
        }
        let dir = self.open_at(dir, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
        Ok((dir, name.to_string()))
    }

    fn status(&self, path: &str, flags: OFlag) -> io::Result<Option<Metadata>> {
        match self.open_at(path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd).metadata().map(Some),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn error(&self, errno: nix::Error, path: &str) -> io::Error {
        with_path(errno, &self.path.join(relative(path)))
    }
}

/// No symbolic link and no mount point.
const SAME_MOUNT: ResolveFlag =
    ResolveFlag::RESOLVE_NO_SYMLINKS.union(ResolveFlag::RESOLVE_NO_XDEV);

fn relative(path: &str) -> &str {
    let trimmed = path.trim_start_matches('/');
    if trimmed.is_empty() { "." } else { trimmed }
}

#[cfg(test)]
mod tests;
