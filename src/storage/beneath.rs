//! Files inside an environment, reached without ever leaving it.
//!
//! A node owns its root and can plant `etc -> /etc`, a device or a pipe anywhere in it. A [`Tree`]
//! resolves every path with `openat2(2)` and `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, so links end
//! inside, and it reads and writes regular files only. Not for paths of the pool itself.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// The largest file that is read whole, in bytes: no text that netbe edits comes near it.
const TEXT_LIMIT: u64 = 16 << 20;

/// How often a path is resolved again before it is given up: seconds, where a few times do.
const ATTEMPTS: u32 = 10_000;

/// A directory nothing is reached outside of.
#[derive(Debug)]
pub struct Tree {
    top: OwnedFd,
    path: PathBuf,
}

impl Tree {
    /// Opens a directory as a tree; the path itself is trusted and may lead over links.
    pub fn open(path: &Path) -> io::Result<Self> {
        let top = nix::fcntl::open(
            path,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| named(e, path))?;
        Ok(Self {
            top,
            path: path.to_path_buf(),
        })
    }

    /// Returns where the tree stands on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path beneath the tree; absolute paths and links start at the tree's top.
    ///
    /// `O_CLOEXEC` is added. `O_CREAT` works; a final link is followed, inside, unless `O_NOFOLLOW`.
    pub fn open_at(&self, path: &str, flags: OFlag, mode: Mode) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        self.resolve(relative(path), how)
            .map_err(|e| self.failed(e, path))
    }

    /// Opens a path beneath the tree in which no part is a link; one that is ends in `ELOOP`.
    pub fn open_without_links(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
            .resolve(
                ResolveFlag::RESOLVE_IN_ROOT
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS
                    | ResolveFlag::RESOLVE_NO_SYMLINKS,
            );
        self.resolve(relative(path), how)
            .map_err(|e| self.failed(e, path))
    }

    /// Opens a path that need not be UTF-8, with the plain error number for callers that branch on it.
    pub fn open_path(&self, path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        self.resolve(path, how)
    }

    /// Opens a path that need not be UTF-8 and in which no part is a link, with the plain error number.
    ///
    /// With `O_PATH` and `O_NOFOLLOW` the last part may be one, and is what is opened.
    pub fn open_path_without_links(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_IN_ROOT
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        self.resolve(path, how)
    }

    /// Opens a regular file for reading whose path needs no link and crosses no mount; `None` for anything else.
    ///
    /// What stands there is looked at before it is opened, so that no device is woken, and no swap can slip in between.
    pub fn plain_file(&self, path: &Path) -> io::Result<Option<File>> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_IN_ROOT
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        let found = match self.resolve(path, how) {
            Ok(fd) => File::from(fd),
            Err(
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::ENAMETOOLONG,
            ) => return Ok(None),
            Err(e) => return Err(named(e, &self.path.join(path))),
        };
        if !found.metadata()?.is_file() {
            return Ok(None);
        }
        File::open(descriptor_path(&found)).map(Some)
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
        if self.metadata(path)?.is_none() {
            return Ok(None);
        }
        // O_NONBLOCK: a pipe planted between the two calls must not hang us.
        let fd = self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())?;
        let file = File::from(fd);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!(
                "{} is not a regular file",
                self.path.join(relative(path)).display()
            )));
        }
        Ok(Some(file))
    }

    /// Returns a regular file's content; `None` where there is nothing, an error past 16 MiB.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        if file.metadata()?.len() > TEXT_LIMIT {
            return Err(io::Error::other(format!(
                "{} is larger than 16 MiB",
                self.path.join(relative(path)).display()
            )));
        }
        let mut bytes = Vec::new();
        file.take(TEXT_LIMIT).read_to_end(&mut bytes)?;
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
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces a file's content in one step, keeping mode and owner; a new file gets 0644.
    ///
    /// A final link is followed, inside; only there the content is replaced in place.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(link) = self.symlink_metadata(path)?
            && link.file_type().is_symlink()
        {
            if let Some(target) = self.metadata(path)?
                && !target.is_file()
            {
                return Err(io::Error::other(format!(
                    "{} leads to something that is not a regular file",
                    self.path.join(relative(path)).display()
                )));
            }
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NONBLOCK;
            let fd = self.open_at(path, flags, Mode::from_bits_truncate(0o644))?;
            return File::from(fd).write_all(bytes);
        }
        let (parent, name) = self.parent(path)?;
        let old = match self.metadata(path)? {
            Some(m) if m.is_file() => Some(m),
            Some(_) => {
                return Err(io::Error::other(format!(
                    "{} is not a regular file",
                    self.path.join(relative(path)).display()
                )));
            }
            None => None,
        };
        let staged = format!(".{name}.netbe-new");
        match unlinkat(&parent, staged.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(e) => return Err(self.failed(e, path)),
        }
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(
            &parent,
            staged.as_str(),
            flags,
            Mode::from_bits_truncate(0o600),
        )
        .map_err(|e| self.failed(e, path))?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| {
            let (mode, owner) = old.map_or((0o644, None), |m| {
                (m.mode() & 0o7777, Some((m.uid(), m.gid())))
            });
            if let Some((uid, gid)) = owner {
                std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            file.set_permissions(std::fs::Permissions::from_mode(mode))
        });
        let renamed = written.and_then(|()| {
            renameat(&parent, staged.as_str(), &parent, name.as_str()).map_err(io::Error::from)
        });
        renamed.map_err(|e| {
            // Best effort: the error that matters is the one already in hand.
            let _ = unlinkat(&parent, staged.as_str(), UnlinkatFlags::NoRemoveDir);
            io::Error::new(
                e.kind(),
                format!("{}: {e}", self.path.join(relative(path)).display()),
            )
        })
    }

    /// Returns what a path leads to, links followed inside; `None` where there is nothing.
    pub fn metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.look(path, OFlag::O_PATH)
    }

    /// Returns what stands at a path, a final link not followed; `None` where there is nothing.
    pub fn symlink_metadata(&self, path: &str) -> io::Result<Option<Metadata>> {
        self.look(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
    }

    /// Returns the names in a directory, sorted; empty where there is none.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        if !self.metadata(path)?.is_some_and(|m| m.is_dir()) {
            return Ok(Vec::new());
        }
        let fd = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let mut dir = Dir::from_fd(fd).map_err(|e| self.failed(e, path))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
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

    /// Makes a link with this text; something there already is an error.
    pub fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        nix::unistd::symlinkat(target, &parent, name.as_str()).map_err(|e| self.failed(e, path))
    }

    /// Removes a file or link; nothing there is no error.
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        if self.symlink_metadata(path)?.is_none() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        unlinkat(&parent, name.as_str(), UnlinkatFlags::NoRemoveDir)
            .map_err(|e| self.failed(e, path))
    }

    /// Removes an empty directory; one that is not empty is an error.
    pub fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        unlinkat(&parent, name.as_str(), UnlinkatFlags::RemoveDir).map_err(|e| self.failed(e, path))
    }

    /// Makes a directory and those above it, 0755 each; one that exists stays as it is.
    pub fn make_dirs(&self, path: &str) -> io::Result<()> {
        let mut made = String::new();
        for part in relative(path)
            .split('/')
            .filter(|p| !p.is_empty() && *p != ".")
        {
            if !made.is_empty() {
                made.push('/');
            }
            made.push_str(part);
            if self.metadata(&made)?.is_some_and(|m| m.is_dir()) {
                continue;
            }
            let (parent, name) = self.parent(&made)?;
            mkdirat(&parent, name.as_str(), Mode::from_bits_truncate(0o755))
                .map_err(|e| self.failed(e, path))?;
        }
        Ok(())
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

/// Returns the path an open descriptor can be reached by for calls that take no descriptor.
pub fn descriptor_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn relative(path: &str) -> &str {
    let trimmed = path.trim_start_matches('/');
    if trimmed.is_empty() { "." } else { trimmed }
}

fn named(errno: nix::Error, path: &Path) -> io::Error {
    let plain = io::Error::from(errno);
    io::Error::new(plain.kind(), format!("{}: {plain}", path.display()))
}

#[cfg(test)]
mod tests;
