//! Changing files inside: writing, linking, removing, and making directories.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Tree, relative};

/// How many links that lead to links are followed, as the kernel does.
const LINKS: u32 = 40;

impl Tree {
    /// Replaces a file's content in one step, keeping mode and owner; a new file gets 0644.
    ///
    /// A final link is followed, inside, and it is what it leads to that is replaced.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_through(path, bytes, LINKS)
    }

    fn write_through(&self, path: &str, bytes: &[u8], links: u32) -> io::Result<()> {
        if let Some(link) = self.symlink_metadata(path)?
            && link.file_type().is_symlink()
        {
            let links = links
                .checked_sub(1)
                .ok_or_else(|| self.failed(Errno::ELOOP, path))?;
            return self.write_through(&self.led_to(path)?, bytes, links);
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
            // Best effort: the error that matters is the one already in hand.
            let _ = unlinkat(&parent, staged.as_str(), UnlinkatFlags::NoRemoveDir);
            io::Error::new(
                e.kind(),
                format!("{}: {e}", self.path.join(relative(path)).display()),
            )
        })
    }

    /// Returns the path a final link leads to, itself not followed further.
    fn led_to(&self, path: &str) -> io::Result<String> {
        let target = self.link_target(path)?;
        let target = target
            .to_str()
            .ok_or_else(|| self.failed(Errno::EILSEQ, path))?;
        let directory = relative(path).rsplit_once('/').map_or("", |(dir, _)| dir);
        Ok(match target.starts_with('/') {
            true => target.to_string(),
            false => format!("{directory}/{target}"),
        })
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
}
