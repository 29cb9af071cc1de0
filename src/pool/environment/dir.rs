//! The open directory of a node's environments, and reading from it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::seen::stamp;
use crate::btrfs::subvolume::{Uuid, identity};
use crate::fs::opener;
use crate::pool::code::Key;
use crate::pool::layout;
use crate::pool::name::EnvName;
use crate::pool::node::Node;
use crate::pool::record::{self, EnvRecord, KernelSeen};

/// The inode number of every subvolume's top directory.
const SUBVOLUME_INODE: u64 = 256;

/// The open directory of a node's environments: reading thousands of them resolves its path only once.
#[derive(Debug)]
pub struct Envs {
    top: OwnedFd,
    key: Key,
}

impl Envs {
    /// Opens that of a node; `None` if it does not exist.
    ///
    /// # Errors
    /// When its existence cannot be determined: treating it as missing would unpublish its environments.
    pub fn open(node: &Node) -> Result<Option<Self>> {
        Self::open_in(&node.dir, &node.key)
    }

    fn open_in(node_dir: &Path, key: &Key) -> Result<Option<Self>> {
        let path = node_dir.join(layout::ENVS);
        // Following a link would show another node's environments as this one's, to be destroyed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match nix::fcntl::open(&path, flags, Mode::empty()) {
            Ok(top) => Ok(Some(Self {
                top,
                key: key.clone(),
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => {
                Err(io::Error::from(e)).with_context(|| format!("reading {}", path.display()))
            }
        }
    }

    /// Returns the status of a path below it, without following a link at its end; `None` if it does not exist.
    pub(super) fn look(&self, path: &str) -> nix::Result<Option<FileStat>> {
        match fstatat(&self.top, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns the device number of the subvolume at a path; `None` if it is not a subvolume.
    pub(super) fn subvolume(&self, path: &str) -> nix::Result<Option<u64>> {
        let found = self.look(path)?;
        Ok(found
            .filter(|stat| stat.st_ino == SUBVOLUME_INODE && is_dir(stat))
            .map(|stat| stat.st_dev))
    }

    /// Returns whether an environment still has the recorded kernel.
    ///
    /// Each subvolume has its own device number, so equal ones prove that no link led out of the boot half.
    pub(super) fn still_has(&self, env: &EnvName, seen: &KernelSeen, boot: u64) -> bool {
        let look = |path: &str| {
            self.look(&format!("{env}/{}/{path}", layout::BOOT))
                .ok()
                .flatten()
        };
        let (Some(named_by), Some(kernel)) = (look(&seen.named_by), look(&seen.file)) else {
            return false;
        };
        named_by.st_dev == boot && kernel.st_dev == boot && stamp(&named_by, &kernel) == seen.stamp
    }

    /// Returns the UUID of an environment's root subvolume, which its record's code includes.
    fn root_of(&self, env: &EnvName) -> Result<Uuid> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let path = format!("{env}/{}", layout::ROOT);
        let root = openat2(&self.top, path.as_str(), how).map_err(io::Error::from)?;
        Ok(identity::subvolume_uuid(&root)?)
    }

    pub(super) fn record(&self, env: &EnvName) -> Result<EnvRecord> {
        // Checked first: the path can be anything, and reading must neither block nor have side effects nor follow a
        // link, not even one in place of the environment.
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = match openat2(&self.top, format!("{env}/env.json").as_str(), how)
            .and_then(|place| opener::reopen(&place, OFlag::O_RDONLY))
        {
            Ok(fd) => File::from(fd),
            Err(nix::Error::ENOENT) => bail!("it does not exist"),
            Err(e) => return Err(io::Error::from(e).into()),
        };
        let mut text = vec![0; 8192];
        let mut length = loop {
            match (&file).read(&mut text) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if length == text.len() {
            // Longer than this with the changes of a large upgrade.
            length += file.take(record::LIMIT).read_to_end(&mut text)?;
        }
        EnvRecord::parse_own(
            str::from_utf8(&text[..length])?,
            &self.key,
            self.root_of(env)?,
        )
    }
}

pub(super) fn is_dir(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_6_what_cannot_be_looked_at_is_not_taken_for_absent() {
        let node = tempfile::tempdir().unwrap();
        let key = Key::make(&node.path().join("key")).unwrap();
        let open = || Envs::open_in(node.path(), &key);
        assert!(open().unwrap().is_none());
        // Any error is right, not the `None` of a missing directory: here a link, which is not followed.
        std::os::unix::fs::symlink(layout::ENVS, node.path().join(layout::ENVS)).unwrap();
        assert!(open().is_err());
    }
}
