//! Files inside an environment, reached without ever leaving it.
//!
//! A node owns its root and can plant `etc -> /etc`, a device or a pipe anywhere in it. A [`Tree`]
//! resolves every path with `openat2(2)` and `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, so links end
//! inside. What is opened was looked at before, by [`super::opener`]: regular files and directories only. What is read
//! is bounded, and ends when netbe is asked to stop. Not for paths of the pool itself.

mod change;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::Mode;

use super::interrupt;
use super::opener::{self, descriptor_path};
use super::path_error::named;

/// The largest file that is read whole, in bytes: no text that netbe edits comes near it.
const TEXT_LIMIT: u64 = 4 << 20;

/// The most names that a directory may have which is looked at as a whole: nothing that netbe looks for stands in one with
/// more, and each takes memory.
pub const NAMES: usize = 1 << 17;

/// How often a path is resolved again before it is given up: seconds, where a few times do.
const ATTEMPTS: u32 = 10_000;

/// A directory nothing is reached outside of.
#[derive(Debug)]
pub struct Tree {
    top: OwnedFd,
    path: PathBuf,
    durable: bool,
}

impl Tree {
    /// Opens a directory as a tree, by a path in which no part is a link.
    ///
    /// Who can name files of the pool over NFS can put a link to the server's own `/` in the place of a half.
    pub fn open(path: &Path) -> io::Result<Self> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let top = openat2(AT_FDCWD, path, how).map_err(|e| named(e, path))?;
        Ok(Self::new(top, path))
    }

    /// Opens the directory that a descriptor is open on as a tree.
    pub fn open_descriptor(fd: &impl AsRawFd) -> io::Result<Self> {
        let path = descriptor_path(fd);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let top = nix::fcntl::open(&path, flags, Mode::empty()).map_err(|e| named(e, &path))?;
        Ok(Self::new(top, &path))
    }

    fn new(top: OwnedFd, path: &Path) -> Self {
        Self {
            top,
            path: path.to_path_buf(),
            durable: false,
        }
    }

    /// Has the content of what is written be on the disk before it takes the place of what was there.
    ///
    /// For what machines may boot: the filesystem commits at any moment, and does not wait for the content of
    /// files. A stage needs it not; it is made durable as a whole before it is published.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Returns where the tree stands on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path beneath the tree; absolute paths and links start at the tree's top.
    ///
    /// `O_CLOEXEC` is added. `O_CREAT` works; a final link is followed, inside, unless `O_NOFOLLOW`. Without `O_PATH` it
    /// is a regular file, or with `O_DIRECTORY` a directory; anything else is an error, and was not opened.
    pub fn open_at(&self, path: &str, flags: OFlag, mode: Mode) -> io::Result<OwnedFd> {
        self.open_path(Path::new(relative(path)), flags, mode)
            .map_err(|e| self.failed(e, path))
    }

    /// Opens a path beneath the tree in which no part is a link; one that is ends in `ELOOP`.
    pub fn open_without_links(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = flags | OFlag::O_NOFOLLOW;
        self.opened(Path::new(relative(path)), flags, Mode::empty(), resolve)
            .map_err(|e| self.failed(e, path))
    }

    /// Opens a path that need not be UTF-8, with the plain error number for callers that branch on it.
    ///
    /// Otherwise as [`Self::open_at`].
    pub fn open_path(&self, path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        self.opened(path, flags, mode, ResolveFlag::empty())
    }

    /// Opens a path that need not be UTF-8 and in which no part is a link, with the plain error number.
    ///
    /// With `O_PATH` and `O_NOFOLLOW` the last part may be one, and is what is opened.
    pub fn open_path_without_links(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        self.opened(path, flags, Mode::empty(), HERE)
    }

    /// Opens what stands at a path; nothing but a directory is opened that was not looked at before.
    fn opened(
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
        opener::reopened(&place, flags.difference(new | OFlag::O_NOFOLLOW))
    }

    /// Opens a regular file for reading whose path needs no link and crosses no mount; `None` for anything else.
    ///
    /// What stands there is looked at before it is opened, so that no device is woken, and no swap can slip in between.
    /// Reading it leaves its time of access alone, where that is allowed.
    pub fn plain_file(&self, path: &Path) -> io::Result<Option<File>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let found = match self.opened(path, flags, Mode::empty(), HERE) {
            Ok(found) => found,
            Err(
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ENAMETOOLONG,
            ) => return Ok(None),
            Err(e) => return Err(named(e, &self.path.join(path))),
        };
        match opener::reopened(&found, OFlag::O_RDONLY) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(named(e, &self.path.join(path))),
        }
    }

    /// Resolves a path, again where a `..` in it met a rename or a mount somewhere on this machine.
    ///
    /// The kernel cannot tell then whether the path stayed inside, and leaves trying again to its caller:
    /// openat2(2), EAGAIN.
    fn resolve<P: ?Sized + NixPath>(&self, path: &P, how: OpenHow) -> nix::Result<OwnedFd> {
        let mut tries = 0;
        loop {
            match openat2(self.top.as_fd(), path, how) {
                Err(Errno::EAGAIN) if tries < ATTEMPTS => {
                    tries += 1;
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
    }

    /// Opens a regular file for reading; `None` where there is nothing.
    ///
    /// Anything that is not a regular file (a pipe would hang, a device would act) is an error.
    pub fn open_file(&self, path: &str) -> io::Result<Option<File>> {
        let place = match self.open_path(Path::new(relative(path)), OFlag::O_PATH, Mode::empty()) {
            Ok(place) => place,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(e) => return Err(self.failed(e, path)),
        };
        match opener::reopened(&place, OFlag::O_RDONLY) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::ENXIO | Errno::EISDIR | Errno::ELOOP) => Err(io::Error::other(format!(
                "{} is not a regular file",
                self.path.join(relative(path)).display()
            ))),
            Err(e) => Err(self.failed(e, path)),
        }
    }

    /// Returns a regular file's content; `None` where there is nothing, an error past 4 MiB.
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

    /// Returns a text file's content; `None` where there is nothing, an error when it is not UTF-8.
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

    /// Returns the first `limit` bytes of a regular file; `None` where there is nothing.
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

    /// Returns what a path leads to, links followed inside; `None` where there is nothing.
    pub fn metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.look(path, OFlag::O_PATH)
    }

    /// Returns what stands at a path, a final link not followed; `None` where there is nothing.
    pub fn symlink_metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.look(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
    }

    /// Returns the names in a directory, sorted; empty where there is none, an error past [`NAMES`].
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        if !self.metadata(path)?.is_some_and(|m| m.is_dir()) {
            return Ok(Vec::new());
        }
        let fd = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let mut dir = Dir::from_fd(fd).map_err(|e| self.failed(e, path))?;
        let mut names = Vec::new();
        for (count, entry) in dir.iter().enumerate() {
            interrupt::check_io()?;
            if count > NAMES {
                return Err(io::Error::other(format!(
                    "{} holds more than {NAMES} names",
                    self.path.join(relative(path)).display()
                )));
            }
            let entry = entry.map_err(|e| self.failed(e, path))?;
            // A name that is not UTF-8 is none that firmware, kernel or netbe ever looks for.
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

    /// Returns where a link points, as written.
    pub fn link_target(&self, path: &str) -> io::Result<PathBuf> {
        let (parent, name) = self.parent(path)?;
        readlinkat(&parent, name.as_str())
            .map(PathBuf::from)
            .map_err(|e| self.failed(e, path))
    }

    /// Opens the directory a path's last part stands in, and returns that part.
    ///
    /// For calls that take a directory and a bare name (`mknodat`, `utimensat`, …). An empty last part,
    /// `.` or `..` is an error.
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

    fn look(&self, path: &str, flags: OFlag) -> io::Result<Option<Metadata>> {
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

    fn failed(&self, errno: nix::Error, path: &str) -> io::Error {
        named(errno, &self.path.join(relative(path)))
    }
}

/// What leads over no link and no mount.
const HERE: ResolveFlag = ResolveFlag::RESOLVE_NO_SYMLINKS.union(ResolveFlag::RESOLVE_NO_XDEV);

fn relative(path: &str) -> &str {
    let trimmed = path.trim_start_matches('/');
    if trimmed.is_empty() { "." } else { trimmed }
}

#[cfg(test)]
mod tests;
