//! Puts single entries of one tree into another: files, links, and directories without content.
//!
//! Promises that nothing outside both trees is read or written: no symbolic link is followed. An entry arrives complete, by
//! a rename, so that other processes may work in the tree; the copy in progress when netbe is killed is found by
//! [`leftovers`]. Entries that a user has protected by chattr(1) are changed all the same, and protected again. Not durable
//! by itself, and not for deciding which entries are put.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::dir_names::all_names_in;
use super::opener::{self, descriptor_path};
use super::shown_path::shortened;
use super::{copy, file_flags, interrupt};

/// The name of the directory for copies that have no name yet.
const ASIDE: &str = ".netbe-merge-";

/// Entries that are put from one tree into another.
#[derive(Debug)]
pub struct Graft {
    from: File,
    to: File,
    aside: File,
    aside_name: String,
    /// The path of the first name of files with several names, by inode number of the source.
    links: HashMap<u64, PathBuf>,
    /// Directories that get the attributes of a directory of the source when all is done.
    directories: BTreeMap<PathBuf, PathBuf>,
    /// Paths that lost flags of chattr(1).
    without_flags: Vec<PathBuf>,
}

impl Drop for Graft {
    /// Removes the copies of a graft that was not finished. Best effort: what is left is found by [`leftovers`].
    fn drop(&mut self) {
        for name in all_names_in(&descriptor_path(&self.aside)).unwrap_or_default() {
            if let Ok(Some(file)) = opener::file_at(&self.aside, name.as_os_str()) {
                file_flags::unprotect(&file);
            }
            let _ = unlinkat(&self.aside, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        let aside = self.aside_name.as_str();
        let _ = unlinkat(&self.to, aside, UnlinkatFlags::RemoveDir);
    }
}

/// Returns the leftovers of a killed netbe at the top of a tree: root's directories with a reserved name.
///
/// # Errors
/// If the directory cannot be read.
pub fn leftovers(top: &Path) -> io::Result<Vec<PathBuf>> {
    let is_own = |path: &PathBuf| {
        let found = path.symlink_metadata();
        found.is_ok_and(|found| found.is_dir() && found.uid() == 0)
    };
    let names = all_names_in(top)?.into_iter();
    let reserved = names.filter(|name| name.as_encoded_bytes().starts_with(ASIDE.as_bytes()));
    Ok(reserved.map(|name| top.join(name)).filter(is_own).collect())
}

/// The result for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It was put.
    Done,
    /// This path is in the way: a directory with content, or a file in place of a directory.
    Blocked(PathBuf),
}

impl Graft {
    /// Opens the source, a directory in the tree at the trusted path `from`, and the target, the tree at `to`; an empty
    /// `directory` means the whole tree.
    pub fn new(from: &Path, directory: &Path, to: &Path) -> Result<Self> {
        let (from, to) = (opener::directory(from)?, opener::directory(to)?);
        let beneath = opener::directory_beneath(&from, directory)
            .with_context(|| format!("opening '{}'", shortened(directory)))?;
        let from = File::from(opener::directory_at(&beneath, ".")?);
        for number in 0u32.. {
            let name = format!("{ASIDE}{number}");
            match opener::new_directory_at(&to, name.as_str()) {
                Ok(aside) => {
                    return Ok(Self {
                        from,
                        to,
                        aside,
                        aside_name: name,
                        links: HashMap::new(),
                        directories: BTreeMap::new(),
                        without_flags: Vec::new(),
                    });
                }
                Err(Errno::EEXIST) => interrupt::check()?,
                Err(e) => return Err(e).context("making a directory for copies"),
            }
        }
        bail!("no name is free for a directory for copies")
    }

    /// Puts an entry of the source at a path, which has as many components as its own; missing directories above it are made
    /// as in the source.
    pub fn put(&mut self, path: &Path, at: &Path) -> Result<Put> {
        interrupt::check()?;
        let putting = || format!("putting '{}'", shortened(at));
        let Some(name) = path.file_name() else {
            self.directories
                .insert(at.to_path_buf(), path.to_path_buf());
            return Ok(Put::Done);
        };
        let source = self.source_parent(path).with_context(putting)?;
        let stat = match fstatat(&source, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Put::Done),
            found => found.with_context(putting)?,
        };
        let parent = match self.parent_of(path, at).with_context(putting)? {
            Ok(parent) => parent,
            Err(blocked) => return Ok(Put::Blocked(blocked)),
        };
        let new = at.file_name().unwrap_or(name);
        let put = match kind_of(&stat) {
            // A socket belongs to the process that listens on it.
            SFlag::S_IFSOCK => return Ok(Put::Done),
            SFlag::S_IFDIR => self.directory(&parent, new, at, path),
            _ => self.no_directory(&source, name, &stat, &parent, new, at),
        };
        put.with_context(putting)
    }

    /// Removes an entry; a directory only if it is empty.
    pub fn remove(&self, path: &Path) -> Result<Put> {
        interrupt::check()?;
        let removing = || format!("removing '{}'", shortened(path));
        let Some(name) = path.file_name() else {
            return Ok(Put::Blocked(path.to_path_buf()));
        };
        let above = path.parent().unwrap_or(Path::new(""));
        let parent = match opener::directory_beneath(&self.to, above) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Put::Done),
            opened => opened.with_context(removing)?,
        };
        let parent = File::from(opener::directory_at(&parent, ".")?);
        let stat = match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Put::Done),
            found => found.with_context(removing)?,
        };
        match self.clear(&parent, name, &stat).with_context(removing)? {
            true => Ok(Put::Done),
            false => Ok(Put::Blocked(path.to_path_buf())),
        }
    }

    /// Gives the directories that were put their attributes; returns what lost flags of chattr(1).
    pub fn finish(mut self) -> Result<Vec<PathBuf>> {
        let aside = self.aside_name.as_str();
        unlinkat(&self.to, aside, UnlinkatFlags::RemoveDir)
            .with_context(|| format!("removing {aside}"))?;
        // The deepest first: a protected directory cannot be changed any more.
        for (at, path) in self.directories.iter().rev() {
            let applying = || format!("giving '{}' its attributes", shortened(at));
            let open = |top: &File, path: &Path| -> nix::Result<File> {
                let place = opener::directory_beneath(top, path)?;
                opener::directory_at(&place, ".").map(File::from)
            };
            let (from, to) = match (open(&self.from, path), open(&self.to, at)) {
                (Ok(from), Ok(to)) => (from, to),
                // It has been replaced meanwhile.
                (_, Err(Errno::ENOENT | Errno::ENOTDIR)) => continue,
                (Err(e), _) | (_, Err(e)) => return Err(e).with_context(applying),
            };
            file_flags::unprotect(&to);
            if !copy::directory_attributes(&from, &to).with_context(applying)? {
                self.without_flags.push(at.clone());
            }
        }
        Ok(std::mem::take(&mut self.without_flags))
    }

    fn source_parent(&self, path: &Path) -> nix::Result<OwnedFd> {
        opener::directory_beneath(&self.from, path.parent().unwrap_or(Path::new("")))
    }

    /// Opens the parent directory of a path, and makes it if it is missing; the error is the path that is in the way.
    fn parent_of(&mut self, path: &Path, at: &Path) -> Result<Result<File, PathBuf>> {
        let above = at.parent().unwrap_or(Path::new(""));
        match opener::directory_beneath(&self.to, above) {
            Ok(parent) => return Ok(Ok(File::from(opener::directory_at(&parent, ".")?))),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(e) => return Err(e.into()),
        }
        let mut parent = File::from(opener::directory_at(&self.to, ".")?);
        let (mut done, mut source) = (PathBuf::new(), PathBuf::new());
        for (part, of_source) in above.iter().zip(path) {
            done.push(part);
            source.push(of_source);
            parent = match opener::directory_at(&parent, part) {
                Ok(next) => File::from(next),
                Err(Errno::ENOENT) => {
                    self.make_directory(&parent, part)?;
                    self.directories.insert(done.clone(), source.clone());
                    File::from(opener::directory_at(&parent, part)?)
                }
                Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(Err(done)),
                Err(e) => return Err(e.into()),
            };
        }
        Ok(Ok(parent))
    }

    fn make_directory(&self, parent: &File, name: &OsStr) -> io::Result<()> {
        despite_protection(parent, name, || {
            mkdirat(parent, name, Mode::S_IRWXU).map_err(io::Error::from)
        })
    }

    fn directory(&mut self, parent: &File, name: &OsStr, at: &Path, path: &Path) -> Result<Put> {
        match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if kind_of(&stat) == SFlag::S_IFDIR => {}
            Ok(stat) => {
                self.clear(parent, name, &stat)?;
                self.make_directory(parent, name)?;
            }
            Err(Errno::ENOENT) => self.make_directory(parent, name)?,
            Err(e) => return Err(e.into()),
        }
        self.directories
            .insert(at.to_path_buf(), path.to_path_buf());
        Ok(Put::Done)
    }

    fn no_directory(
        &mut self,
        source: &OwnedFd,
        name: &OsStr,
        stat: &FileStat,
        parent: &File,
        new: &OsStr,
        at: &Path,
    ) -> Result<Put> {
        if let Ok(there) = fstatat(parent, new, AtFlags::AT_SYMLINK_NOFOLLOW)
            && kind_of(&there) == SFlag::S_IFDIR
            && !self.clear(parent, new, &there)?
        {
            return Ok(Put::Blocked(at.to_path_buf()));
        }
        let copied: OsString = match self.links.get(&stat.st_ino) {
            Some(first) if stat.st_nlink > 1 => self.link(first, name)?,
            _ => {
                let report = copy::single(source, name, &self.aside, stat)?;
                let lost = report.without_flags.len();
                self.without_flags
                    .extend(std::iter::repeat_n(at.to_path_buf(), lost.min(1)));
                name.to_os_string()
            }
        };
        // A protected file cannot be renamed: it is protected again afterwards.
        let protection = match opener::file_at(&self.aside, copied.as_os_str()) {
            Ok(Some(file)) => file_flags::unprotect(&file),
            _ => 0,
        };
        let renamed = despite_protection(parent, new, || {
            renameat(&self.aside, copied.as_os_str(), parent, new).map_err(io::Error::from)
        });
        match renamed {
            // The source file was removed while it was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Put::Done),
            renamed => renamed?,
        }
        // Two names of one file: the kernel leaves the old name of a rename to the same file.
        match unlinkat(&self.aside, copied.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e.into()),
        }
        if protection != 0
            && let Ok(Some(file)) = opener::file_at(parent, new)
        {
            file_flags::add(&file, protection)?;
        }
        if stat.st_nlink > 1 {
            self.links.insert(stat.st_ino, at.to_path_buf());
        }
        Ok(Put::Done)
    }

    /// Makes another name of a file that was put before, among the copies.
    fn link(&self, first: &Path, name: &OsStr) -> Result<OsString> {
        let above = first.parent().unwrap_or(Path::new(""));
        let parent = opener::directory_beneath(&self.to, above)?;
        let first = first.file_name().unwrap_or_default();
        linkat(&parent, first, &self.aside, name, AtFlags::empty())?;
        Ok(name.to_os_string())
    }

    /// Removes an entry; false for a directory that is not empty.
    fn clear(&self, parent: &File, name: &OsStr, stat: &FileStat) -> Result<bool> {
        let flags = match kind_of(stat) {
            SFlag::S_IFDIR => UnlinkatFlags::RemoveDir,
            _ => UnlinkatFlags::NoRemoveDir,
        };
        let removed = despite_protection(parent, name, || {
            unlinkat(parent, name, flags).map_err(io::Error::from)
        });
        match removed {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => Ok(removed.map(|()| true)?),
        }
    }
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Makes a change of an entry. If chattr(1) protects it or its directory, the protection is removed first; the directory gets
/// it again afterwards.
fn despite_protection<T>(
    parent: &File,
    name: &OsStr,
    change: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    change().or_else(|e| {
        file_flags::without_protection(&e, parent, name, false, &change).unwrap_or(Err(e))
    })
}

#[cfg(test)]
mod tests;
