//! The open directory of a node's environments, and reading from it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::seen::stamp;
use crate::btrfs::subvolume::known::{Facts, Known, Top, top_at};
use crate::btrfs::subvolume::{Uuid, identity};
use crate::fs::opener;
use crate::pool::code::Key;
use crate::pool::layout;
use crate::pool::name::EnvName;
use crate::pool::node::Node;
use crate::pool::record::{self, EnvRecord, KernelSeen};

/// The open directory of a node's environments: reading thousands of them resolves its path only once.
#[derive(Debug)]
pub struct Envs<'a> {
    top: OwnedFd,
    key: Key,
    /// Whether nothing below it is a device that can be opened.
    has_no_devices: bool,
    /// The facts about subvolumes that are known without opening them.
    known: Option<&'a Known>,
}

impl<'a> Envs<'a> {
    /// Opens the directory of a node's environments; `None` if it does not exist.
    ///
    /// # Errors
    /// When its existence cannot be determined: treating it as missing would unpublish its environments.
    pub fn open(node: &Node) -> Result<Option<Self>> {
        Self::open_in(&AT_FDCWD, &node.dir, &node.key)
    }

    /// Opens the same by an open mount of the pool.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_below(pool: &impl AsFd, node: &Node) -> Result<Option<Self>> {
        let node_dir = Path::new(layout::NODES).join(node.name.as_str());
        Self::open_in(pool, &node_dir, &node.key)
    }

    fn open_in(from: &impl AsFd, node_dir: &Path, key: &Key) -> Result<Option<Self>> {
        let path = node_dir.join(layout::ENVS);
        // Following a link would show another node's environments as this one's, to be destroyed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(from, &path, flags, Mode::empty()) {
            Ok(top) => Ok(Some(Self {
                has_no_devices: opener::has_no_devices(&top),
                top,
                key: key.clone(),
                known: None,
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => {
                Err(io::Error::from(e)).with_context(|| format!("reading {}", path.display()))
            }
        }
    }

    /// Adds known facts about subvolumes, so that they need not be opened.
    #[must_use]
    pub fn knowing(self, known: &'a Known) -> Self {
        Self {
            known: Some(known),
            ..self
        }
    }

    /// Returns the known facts about a subvolume.
    pub(super) fn facts(&self, half: Option<Top>) -> Option<Facts> {
        self.known?.get(half?.id?)
    }

    /// Returns the status of a path below it, without following a link at its end; `None` if it does not exist.
    pub(super) fn look(&self, path: &str) -> nix::Result<Option<FileStat>> {
        match fstatat(&self.top, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Returns the subvolume at a path; `None` if it is not one.
    pub(super) fn subvolume(&self, path: &str) -> rustix::io::Result<Option<Top>> {
        top_at(&self.top, path)
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

    /// Opens the record of an environment.
    ///
    /// Its type is checked first, unless device files have no effect there: reading must not block, must not have side effects,
    /// and must not follow a link, not even one in place of the environment.
    fn open_record(&self, env: &EnvName) -> nix::Result<File> {
        let path = format!("{env}/{}", layout::ENV_RECORD);
        if self.has_no_devices
            && let Ok(file) = opener::file_without_devices(&self.top, path.as_str())
        {
            return Ok(file);
        }
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let place = openat2(&self.top, path.as_str(), how)?;
        Ok(File::from(opener::reopen(&place, OFlag::O_RDONLY)?))
    }

    /// Returns the record of an environment, with its root half if that is known.
    pub(super) fn record(&self, env: &EnvName, root: Option<Facts>) -> Result<EnvRecord> {
        let file = match self.open_record(env) {
            Ok(file) => file,
            Err(nix::Error::ENOENT) => bail!("it does not exist"),
            Err(e) => return Err(io::Error::from(e).into()),
        };
        let mut start = [0; START];
        let length = loop {
            match (&file).read(&mut start) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let mut whole = Vec::new();
        let bytes = match length == START {
            false => &start[..length],
            // The record of a large upgrade is longer.
            true => {
                whole.extend_from_slice(&start);
                file.take(record::LIMIT).read_to_end(&mut whole)?;
                &whole
            }
        };
        let text = str::from_utf8(bytes)?;
        if let Some(root) = root
            && let Ok(record) = EnvRecord::parse_own(text, &self.key, root.uuid)
        {
            return Ok(record);
        }
        // Read again: another environment may have the name by now.
        EnvRecord::parse_own(text, &self.key, self.root_of(env)?)
    }
}

/// How many bytes of a record are read at first.
const START: usize = 8192;

pub(super) fn is_dir(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_6_an_unreadable_directory_is_not_taken_for_absent() {
        let node = tempfile::tempdir().unwrap();
        let key = Key::make(&node.path().join("key")).unwrap();
        let open = || Envs::open_in(&AT_FDCWD, node.path(), &key);
        assert!(open().unwrap().is_none());
        // Any error is right, not the `None` of a missing directory: here a link, which is not followed.
        std::os::unix::fs::symlink(layout::ENVS, node.path().join(layout::ENVS)).unwrap();
        assert!(open().is_err());
    }
}
