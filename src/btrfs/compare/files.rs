//! A tree to compare, read from its files, without privileges.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, major, minor};
use rustix::fs::Dir;

use super::super::changed_since::TOP;
use super::node::{Content, kind_of, subvolume};
use super::{Age, Changed, Kind, Node, Point, Side};
use crate::fs::interrupt;
use crate::fs::opener::descriptor_path;
use crate::fs::rooted::Tree;

/// Inode number of the placeholder that a snapshot has for a nested subvolume
/// (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`, btrfs_tree.h).
const PLACEHOLDER: u64 = 2;

/// A directory on one filesystem.
#[derive(Debug)]
pub(super) struct Files {
    tree: Tree,
    device: u64,
}

impl Files {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            tree: Tree::open(path)?,
            device: path.metadata()?.dev(),
        })
    }

    /// Opens the file at a path; `None` if it does not exist.
    fn find(&self, path: &Path, flags: OFlag) -> io::Result<Option<OwnedFd>> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        match self
            .tree
            .open_path(path, flags | OFlag::O_NOFOLLOW, Mode::empty())
        {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn is_nested(&self, path: &Path, found: &Metadata) -> bool {
        let is_top = path.as_os_str().is_empty();
        !is_top
            && found.is_dir()
            && (found.dev() != self.device || matches!(found.ino(), TOP | PLACEHOLDER))
    }
}

impl Side for Files {
    fn stat(&mut self, path: &Path) -> io::Result<Option<Node>> {
        let Some(fd) = self.find(path, OFlag::O_PATH)? else {
            return Ok(None);
        };
        let file = File::from(fd);
        let found = file.metadata()?;
        if self.is_nested(path, &found) {
            return Ok(Some(subvolume()));
        }
        let kind = kind_of(found.mode());
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let target = match kind {
            Kind::Link => Some(readlinkat(&file, "")?),
            _ => None,
        };
        Ok(Some(Node {
            kind,
            mode: found.mode() & 0o7777,
            owner: (found.uid(), found.gid()),
            size: if kind == Kind::File { found.len() } else { 0 },
            device: is_device.then(|| numbers(found.rdev())),
            target,
            attributes: attributes(&file)?,
            content: Content::Unknown,
        }))
    }

    fn names(&mut self, path: &Path, limit: usize) -> io::Result<Option<BTreeMap<OsString, u64>>> {
        let mut names = BTreeMap::new();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let directory = match self.find(path, flags | OFlag::O_NOATIME) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.find(path, flags)?,
            other => other?,
        };
        let Some(fd) = directory else {
            return Ok(Some(names));
        };
        if self.is_nested(path, &File::from(fd.try_clone()?).metadata()?) {
            return Ok(Some(names));
        }
        for entry in Dir::new(fd)? {
            let entry = entry?;
            interrupt::check_io()?;
            if names.len() >= limit {
                return Ok(None);
            }
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let name = std::ffi::OsStr::from_bytes(name).to_os_string();
                names.insert(name, entry.ino());
            }
        }
        Ok(Some(names))
    }

    fn open(&mut self, path: &Path) -> io::Result<Option<File>> {
        self.tree.plain_file(path)
    }

    fn changed(&mut self, _: u64, _: usize) -> io::Result<Changed> {
        Err(no_transactions())
    }

    fn age(&mut self, _: &Path, _: Point) -> io::Result<Age> {
        Err(no_transactions())
    }

    fn has_new_data(&mut self, _: &Path, _: u64) -> io::Result<bool> {
        Err(no_transactions())
    }
}

fn no_transactions() -> io::Error {
    io::Error::other("changes since a transaction are not readable from files")
}

fn numbers(device: u64) -> (u32, u32) {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (number(major(device)), number(minor(device)))
}

/// Returns the readable extended attributes; only root can read the trusted namespace.
fn attributes(file: &File) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let path = descriptor_path(file);
    let mut found = BTreeMap::new();
    for name in xattr::list_deref(&path)? {
        if let Some(value) = xattr::get_deref(&path, &name)? {
            found.insert(name, value);
        }
    }
    Ok(found)
}
