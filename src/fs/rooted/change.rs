//! Changes in a [`Tree`]: writes, links, removals, directories.
//!
//! Files that a user has protected by chattr(1), `+i` or `+a`, are changed all the same, and protected again: netbe makes
//! only necessary changes, in its own copies. Not for changes by programs in an environment.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Tree, relative, replacement};
use crate::fs::{file_flags, opener};

/// How many symbolic links in a row are followed, as in the kernel.
const MAX_LINKS: u32 = 40;

impl Tree {
    /// Returns whether content is synced before it replaces a file.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Replaces a file's content in one step, keeping mode and owner; a new file gets 0644.
    ///
    /// A final symbolic link is followed inside, and its target replaced.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        self.write_through(path, bytes, MAX_LINKS)
    }

    fn write_through(&self, path: &str, bytes: &[u8], links: u32) -> io::Result<()> {
        if let Some(link) = self.symlink_metadata(path)?
            && link.file_type().is_symlink()
        {
            let links = links
                .checked_sub(1)
                .ok_or_else(|| self.error(Errno::ELOOP, path))?;
            return self.write_through(&self.follow_link(path)?, bytes, links);
        }
        self.despite_protection(path, || self.replace(path, bytes, None))
    }

    /// Makes a file with this content, mode and owner (user and group), in place of a file or symbolic link of the name.
    pub fn place(&self, path: &str, bytes: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        let found = self.symlink_metadata(path)?;
        if found.is_some_and(|found| found.file_type().is_symlink()) {
            self.remove_file(path)?;
        }
        self.despite_protection(path, || self.replace(path, bytes, Some((mode, owner))))
    }

    /// Replaces a file that is no link; without a given mode and owner, it keeps its own.
    fn replace(
        &self,
        path: &str,
        bytes: &[u8],
        given: Option<(u32, (u32, u32))>,
    ) -> io::Result<()> {
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
        let staged = replacement(&name);
        match unlinkat(&parent, staged.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(e) => return Err(self.error(e, path)),
        }
        let mut file =
            opener::new_file_at(&parent, staged.as_str()).map_err(|e| self.error(e, path))?;
        let written = file.write_all(bytes).and_then(|()| {
            let kept = old.map(|m| (m.mode() & 0o7777, (m.uid(), m.gid())));
            let given = given.or(kept);
            if let Some((_, (uid, gid))) = given {
                std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            let mode = given.map_or(0o644, |(mode, _)| mode);
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
            match self.durable {
                true => file.sync_all(),
                false => Ok(()),
            }
        });
        let renamed = written.and_then(|()| {
            renameat(&parent, staged.as_str(), &parent, name.as_str()).map_err(io::Error::from)
        });
        renamed.map_err(|e| {
            // Best effort: the first error is the one to report.
            let _ = unlinkat(&parent, staged.as_str(), UnlinkatFlags::NoRemoveDir);
            io::Error::new(
                e.kind(),
                format!("{}: {e}", self.path.join(relative(path)).display()),
            )
        })
    }

    /// Returns the target of a symbolic link as a path in the tree.
    fn follow_link(&self, path: &str) -> io::Result<String> {
        let target = self.link_target(path)?;
        let target = target
            .to_str()
            .ok_or_else(|| self.error(Errno::EILSEQ, path))?;
        let directory = relative(path).rsplit_once('/').map_or("", |(dir, _)| dir);
        Ok(match target.starts_with('/') {
            true => target.to_string(),
            false => format!("{directory}/{target}"),
        })
    }

    /// Makes a symbolic link with this text; an existing name is an error.
    pub fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        self.despite_protection(path, || {
            nix::unistd::symlinkat(target, &parent, name.as_str()).map_err(|e| self.error(e, path))
        })
    }

    /// Renames an entry within its directory; an existing entry of that name is replaced.
    pub fn rename(&self, path: &str, name: &str) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        let (parent, old) = self.parent(path)?;
        self.despite_protection(path, || {
            renameat(&parent, old.as_str(), &parent, name).map_err(|e| self.error(e, path))
        })
    }

    /// Exchanges an entry with another one in its directory.
    pub fn exchange(&self, path: &str, name: &str) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        let (parent, one) = self.parent(path)?;
        let flags = RenameFlags::RENAME_EXCHANGE;
        self.despite_protection(path, || {
            renameat2(&parent, one.as_str(), &parent, name, flags).map_err(|e| self.error(e, path))
        })
    }

    /// Removes a file or symbolic link; a missing one is no error.
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        if self.symlink_metadata(path)?.is_none() {
            return Ok(());
        }
        if self.notes_change() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        self.despite_protection(path, || {
            unlinkat(&parent, name.as_str(), UnlinkatFlags::NoRemoveDir)
                .map_err(|e| self.error(e, path))
        })
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: &str) -> io::Result<()> {
        if self.notes_change() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        unlinkat(&parent, name.as_str(), UnlinkatFlags::RemoveDir).map_err(|e| self.error(e, path))
    }

    /// Makes a directory and its missing parents, 0755 each.
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
            if self.notes_change() {
                return Ok(());
            }
            let (parent, name) = self.parent(&made)?;
            self.despite_protection(&made, || {
                mkdirat(&parent, name.as_str(), Mode::from_bits_truncate(0o755))
                    .map_err(|e| self.error(e, path))
            })?;
        }
        Ok(())
    }

    /// Makes a change of an entry. If a flag of chattr(1) of it or of its directory forbids that, the flag is removed first, and
    /// set again afterwards, on the file that then has the name.
    pub fn despite_protection<T>(
        &self,
        path: &str,
        change: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        change().or_else(|e| {
            if e.kind() != io::ErrorKind::PermissionDenied {
                return Err(e);
            }
            let (parent, name) = self.parent(path)?;
            let directory = opener::directory_at(&parent, ".")?;
            let name = OsStr::new(name.as_str());
            file_flags::without_protection(&e, &directory, name, true, &change).unwrap_or(Err(e))
        })
    }
}
