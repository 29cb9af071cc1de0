//! Extracts archive members into a tree.
//!
//! The kernel resolves parents inside the tree; the last component is always created, by name in its open parent.
//! Attributes of directories are applied at the end (`deferred`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::deferred::Deferred;
use super::entry::{Kind, Member};
use crate::fs::free_space::FreeSpace;
use crate::fs::rooted::Tree;
use crate::fs::{interrupt, opener};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// Extracts members into a tree.
pub(super) struct Extractor<'t> {
    tree: &'t Tree,
    /// The parent opened last: the next member is mostly in the same one.
    parent: Option<(PathBuf, OwnedFd)>,
    deferred: Deferred,
    free_space: FreeSpace,
    buffer: Vec<u8>,
}

impl<'t> Extractor<'t> {
    pub(super) fn new(tree: &'t Tree) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let top = tree.open_path(Path::new("."), flags, Mode::empty())?;
        Ok(Self {
            tree,
            parent: None,
            deferred: Deferred::new(),
            free_space: FreeSpace::measure(&File::from(top))?,
            buffer: vec![0; CHUNK],
        })
    }

    /// Creates one member, replacing an earlier one of the same name.
    pub(super) fn extract(&mut self, mut member: Member, data: &mut impl Read) -> Result<()> {
        let path = relative(&member.name)?;
        self.free_space.reserve(0)?;
        self.deferred.sift(&mut member, &path)?;
        let Some((parent, name)) = split(&path) else {
            ensure!(
                member.kind == Kind::Directory,
                "is not a directory, in the place of the root"
            );
            return self.deferred.directory(path, member.attributes);
        };
        let name = name.to_owned();
        self.open_parent(parent)?;
        match &member.kind {
            Kind::Directory => {
                self.make_directory(&path, &name)?;
                return self.deferred.directory(path, member.attributes);
            }
            Kind::File(map) => {
                let mut file = self.make_file(&path, &name)?;
                match map {
                    Some(map) => {
                        for (offset, length) in &map.pieces {
                            interrupt::check()?;
                            file.seek(SeekFrom::Start(*offset))?;
                            self.copy(&mut data.by_ref().take(*length), &mut file)?;
                        }
                        file.set_len(map.size)?;
                    }
                    None => self.copy(data, &mut file)?,
                }
                return Ok(member.attributes.apply(&file)?);
            }
            Kind::HardLink => return self.hard_link(&path, &name, &member.target),
            Kind::Link => {
                let target = OsStr::from_bytes(&member.target);
                self.make(&path, &name, |dir| symlinkat(target, dir, name.as_os_str()))?;
            }
            Kind::CharacterDevice => self.make_node(&path, &name, SFlag::S_IFCHR, member.device)?,
            Kind::BlockDevice => self.make_node(&path, &name, SFlag::S_IFBLK, member.device)?,
            Kind::Pipe => self.make_node(&path, &name, SFlag::S_IFIFO, (0, 0))?,
        }
        let link = member.kind == Kind::Link;
        let parent = self.parent()?;
        Ok(member.attributes.apply_at(parent.as_fd(), &name, link)?)
    }

    /// Applies what was deferred, and returns sentences about omissions.
    pub(super) fn finish(self) -> Result<Vec<String>> {
        self.deferred.apply(self.tree)
    }

    fn open_parent(&mut self, parent: &Path) -> Result<()> {
        if self.parent.as_ref().is_some_and(|(path, _)| path == parent) {
            return Ok(());
        }
        let shown = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let fd = match self.tree.open_path(shown, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                self.make_parents(parent)?;
                self.tree.open_path(shown, flags, Mode::empty())
            }
            other => other,
        };
        let fd = fd.map_err(|e| match e {
            Errno::ENOTDIR => anyhow::anyhow!("'{}' is not a directory", parent.display()),
            e => anyhow::Error::from(e).context(format!("opening '{}'", parent.display())),
        })?;
        self.parent = Some((parent.to_path_buf(), fd));
        Ok(())
    }

    /// Creates parents of a member for which the archive has no entry.
    fn make_parents(&mut self, parent: &Path) -> Result<()> {
        let mut made = PathBuf::new();
        for part in parent {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            let parent = if made.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &made
            };
            let parent = self.tree.open_path(parent, flags, Mode::empty())?;
            self.free_space.reserve(0)?;
            match mkdirat(&parent, part, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            }
            made.push(part);
        }
        Ok(())
    }

    fn parent(&self) -> Result<&OwnedFd> {
        let (_, fd) = self.parent.as_ref().context("no parent is open")?;
        Ok(fd)
    }

    /// Creates a file, replacing one of an earlier member.
    fn make<T>(
        &mut self,
        path: &Path,
        name: &OsStr,
        mut make: impl FnMut(&OwnedFd) -> nix::Result<T>,
    ) -> Result<T> {
        match make(self.parent()?) {
            Err(Errno::EEXIST) => {}
            other => return Ok(other?),
        }
        match unlinkat(self.parent()?, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => {}
            Err(Errno::EISDIR) => {
                match unlinkat(self.parent()?, name, UnlinkatFlags::RemoveDir) {
                    Err(Errno::ENOTEMPTY) => bail!("is in the place of a directory with content"),
                    other => other?,
                }
                self.deferred.remove(path);
            }
            Err(e) => return Err(e.into()),
        }
        let made = make(self.parent()?)?;
        // The open parent's path may have a component that was just replaced.
        let (parent, _) = split(path).context("the root has no parent")?;
        self.parent = None;
        self.open_parent(parent)?;
        Ok(made)
    }

    fn make_directory(&mut self, path: &Path, name: &OsStr) -> Result<()> {
        let mode = Mode::from_bits_truncate(0o700);
        let there = self.parent()?.as_fd();
        let kind = nix::sys::stat::fstatat(there, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map(|stat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()));
        if kind == Ok(SFlag::S_IFDIR) {
            return Ok(());
        }
        self.make(path, name, |dir| mkdirat(dir, name, mode))
    }

    fn make_file(&mut self, path: &Path, name: &OsStr) -> Result<File> {
        self.make(path, name, |dir| opener::new_file_at(&dir, name))
    }

    fn make_node(
        &mut self,
        path: &Path,
        name: &OsStr,
        kind: SFlag,
        (major, minor): (u32, u32),
    ) -> Result<()> {
        let device = makedev(major.into(), minor.into());
        let mode = Mode::from_bits_truncate(0o600);
        self.make(path, name, |dir| mknodat(dir, name, kind, mode, device))
    }

    fn hard_link(&mut self, path: &Path, name: &OsStr, target: &[u8]) -> Result<()> {
        let shown = String::from_utf8_lossy(target).into_owned();
        let target = relative(target).with_context(|| format!("hard link to '{shown}'"))?;
        if target == path {
            return Ok(());
        }
        let (parent, target_name) = split(&target).context("is a hard link to the root")?;
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let missing = || format!("is a hard link to '{shown}', which the archive does not hold");
        let from = self
            .tree
            .open_path(parent, flags, Mode::empty())
            .with_context(missing)?;
        self.make(path, name, |dir| {
            linkat(&from, target_name, dir, name, AtFlags::empty())
        })
        .with_context(missing)
    }

    fn copy(&mut self, data: &mut impl Read, file: &mut File) -> Result<()> {
        loop {
            let count = match data.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            self.free_space.reserve(count as u64)?;
            file.write_all(&self.buffer[..count])?;
        }
    }
}

/// Converts an archive's name to a path below the root; `..` is an error.
fn relative(name: &[u8]) -> Result<PathBuf> {
    let mut path = OsString::from_vec(Vec::with_capacity(name.len()));
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => bail!("the name has '..', which may lead outside; the archive is refused"),
            _ => {}
        }
        ensure!(!part.contains(&0), "the name has a NUL byte");
        if !path.is_empty() {
            path.push("/");
        }
        path.push(OsStr::from_bytes(part));
    }
    Ok(PathBuf::from(path))
}

fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_root() {
        for (name, path) in [
            (&b"./"[..], ""),
            (b"/", ""),
            (b"", ""),
            (b"./etc/fstab", "etc/fstab"),
            (b"/etc//./fstab", "etc/fstab"),
            (b"etc/dir/", "etc/dir"),
            (b"a/..b/...", "a/..b/..."),
        ] {
            assert_eq!(relative(name).unwrap(), Path::new(path));
        }
        for name in [&b".."[..], b"../x", b"a/../b", b"a/..", b"/../x", b"a\0b"] {
            assert!(relative(name).is_err(), "{name:?}");
        }
    }
}
