//! A tree to compare, read from a subvolume's tree items: requires `CAP_SYS_ADMIN`, opens no file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::super::changed_since::{Paths, TOP};
use super::super::extents::{self, Layout};
use super::super::tree_search::inodes::{self, DIR_ITEM, Inode, XATTR_ITEM};
use super::super::tree_search::items::{
    self, DIR_INDEX, EXTENT_DATA, FileExtent, INODE_ITEM, malformed,
};
use super::super::tree_search::{Key, Search, Wanted};
use super::node::{Content, kind_of, subvolume};
use super::{Age, Changed, Kind, Node, Point, Side};
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// The target of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Inode(u64),
    Subvolume,
}

/// A resolved path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    target: Target,
    /// The transaction in which the last of the names on the path was given.
    named: u64,
}

/// A subvolume.
#[derive(Debug)]
pub(super) struct Trees {
    tree: Tree,
    top: File,
    /// Resolved paths.
    resolved: HashMap<PathBuf, Option<Found>>,
}

impl Trees {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let tree = Tree::open(path)?;
        let top = tree.open_without_links("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let root = Found {
            target: Target::Inode(TOP),
            named: 0,
        };
        Ok(Self {
            tree,
            top: File::from(top),
            resolved: HashMap::from([(PathBuf::new(), Some(root))]),
        })
    }

    /// Returns whether no file was changed after a point: neither its data, nor its change time, which reading does not set.
    pub(super) fn is_as_at(&self, point: Point) -> io::Result<bool> {
        let wanted = Wanted {
            after: point.transaction,
            ..Wanted::all(&[INODE_ITEM, EXTENT_DATA])
        };
        for item in Search::new(&self.top, wanted) {
            interrupt::check_io()?;
            let item = item?;
            let is_older = match item.key.kind {
                INODE_ITEM => {
                    let inode = inodes::inode(&item.bytes).ok_or_else(malformed)?;
                    inode.transaction <= point.transaction
                        || point.at.is_some_and(|at| inode.changed < at)
                }
                _ => items::old_data(&item.bytes, point.transaction)
                    .ok_or_else(malformed)?
                    .is_some(),
            };
            if !is_older {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Searches an inode's items of these consecutive types.
    fn items(&self, inode: u64, kinds: &'static [u8]) -> Search<'_> {
        Search::new(&self.top, Wanted::of(inode, kinds))
    }

    /// Resolves a path.
    fn find(&mut self, path: &Path) -> io::Result<Option<Found>> {
        if let Some(resolved) = self.resolved.get(path) {
            return Ok(*resolved);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let found = match self.find(parent)? {
            Some(Found {
                target: Target::Inode(directory),
                named,
            }) => self.entry(directory, name.as_bytes())?.map(|found| Found {
                named: found.named.max(named),
                ..found
            }),
            _ => None,
        };
        self.resolved.insert(path.to_path_buf(), found);
        Ok(found)
    }

    fn entry(&self, directory: u64, name: &[u8]) -> io::Result<Option<Found>> {
        let key = Key::new(directory, DIR_ITEM, inodes::name_hash(name));
        let wanted = Wanted {
            from: key,
            to: key,
            ..Wanted::all(&[DIR_ITEM])
        };
        for item in Search::new(&self.top, wanted) {
            for entry in inodes::entries(&item?.bytes).ok_or_else(malformed)? {
                if entry.name.as_bytes() == name {
                    return Ok(Some(Found {
                        target: entry.inode.map_or(Target::Subvolume, Target::Inode),
                        named: entry.named,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn node(&self, number: u64) -> io::Result<Option<Node>> {
        let mut inode = None;
        let mut attributes = BTreeMap::new();
        for item in self.items(number, &[INODE_ITEM, XATTR_ITEM]) {
            let item = item?;
            match item.key.kind {
                INODE_ITEM => inode = Some(inodes::inode(&item.bytes).ok_or_else(malformed)?),
                _ => attributes.extend(inodes::attributes(&item.bytes).ok_or_else(malformed)?),
            }
        }
        let Some(inode) = inode else {
            return Ok(None);
        };
        let kind = kind_of(inode.mode);
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let content = match kind {
            Kind::File | Kind::Link => self.content(number, &inode)?,
            _ => Content::Unknown,
        };
        let (target, content) = match (kind, content) {
            (Kind::Link, Content::Inline(text)) => {
                (Some(OsString::from_vec(text)), Content::Unknown)
            }
            (_, content) => (None, content),
        };
        Ok(Some(Node {
            kind,
            mode: inode.mode & 0o7777,
            owner: (inode.uid, inode.gid),
            size: if kind == Kind::File { inode.size } else { 0 },
            device: is_device.then_some(inode.device),
            target,
            attributes,
            content,
        }))
    }

    fn content(&self, number: u64, inode: &Inode) -> io::Result<Content> {
        let mut layout = Layout::default();
        for item in self.items(number, &[EXTENT_DATA]) {
            let item = item?;
            match items::file_extent(&item.bytes).ok_or_else(malformed)? {
                FileExtent::Inline => {
                    return Ok(inodes::inline(&item.bytes)
                        .map_or(Content::Unknown, |text| Content::Inline(text.to_vec())));
                }
                FileExtent::Hole => {}
                FileExtent::Disk(extent) => {
                    extents::check(item.key.offset, &extent)?;
                    layout.push(item.key.offset, extent, inode.size);
                }
            }
        }
        Ok(Content::Extents(layout))
    }
}

impl Side for Trees {
    fn stat(&mut self, path: &Path) -> io::Result<Option<Node>> {
        match self.find(path)?.map(|found| found.target) {
            None => Ok(None),
            Some(Target::Subvolume) => Ok(Some(subvolume())),
            Some(Target::Inode(inode)) => self.node(inode),
        }
    }

    fn names(&mut self, path: &Path, limit: usize) -> io::Result<Option<BTreeMap<OsString, u64>>> {
        let mut names = BTreeMap::new();
        if let Some(Target::Inode(directory)) = self.find(path)?.map(|found| found.target) {
            for item in self.items(directory, &[DIR_INDEX]) {
                interrupt::check_io()?;
                if names.len() >= limit {
                    return Ok(None);
                }
                for entry in inodes::entries(&item?.bytes).ok_or_else(malformed)? {
                    // Number 0 is of no inode.
                    names.insert(entry.name, entry.inode.unwrap_or(0));
                }
            }
        }
        Ok(Some(names))
    }

    fn open(&mut self, path: &Path) -> io::Result<Option<File>> {
        self.tree.plain_file(path)
    }

    fn changed(&mut self, after: u64, limit: usize) -> io::Result<Changed> {
        let mut paths = Paths::new(&self.top);
        let mut changed = Changed::default();
        let wanted = Wanted {
            after,
            ..Wanted::all(&[INODE_ITEM])
        };
        for item in Search::new(&self.top, wanted) {
            let item = item?;
            let number = item.key.objectid;
            let inode = inodes::inode(&item.bytes).ok_or_else(malformed)?;
            // The leaf is newer, the inode need not be. Numbers below TOP belong to no file.
            if number < TOP || inode.transaction <= after {
                continue;
            }
            if number == TOP {
                changed.directories.insert(PathBuf::new());
                continue;
            }
            let all = paths.paths(number)?;
            if all.is_empty() && inode.links > 0 {
                changed.too_deep.insert(PathBuf::from(super::TOO_DEEP));
            }
            if changed.directories.len() + changed.others.len() >= limit {
                changed.more = true;
                break;
            }
            match kind_of(inode.mode) {
                Kind::Directory => changed.directories.extend(all),
                _ => changed.others.extend(all),
            }
        }
        Ok(changed)
    }

    fn age(&mut self, path: &Path, after: Point) -> io::Result<Age> {
        let Some(found) = self.find(path)? else {
            return Ok(Age::Absent);
        };
        if found.named > after.transaction {
            return Ok(Age::New);
        }
        let Target::Inode(number) = found.target else {
            return Ok(Age::Older);
        };
        let Some(item) = self.items(number, &[INODE_ITEM]).next() else {
            return Ok(Age::Older);
        };
        let inode = inodes::inode(&item?.bytes).ok_or_else(malformed)?;
        if inode.transaction <= after.transaction {
            return Ok(Age::Older);
        }
        let is_file = kind_of(inode.mode) == Kind::File;
        if after.at.is_some_and(|at| inode.changed < at)
            && !(is_file && self.has_new_data(path, after.transaction)?)
        {
            return Ok(Age::Older);
        }
        Ok(Age::Changed)
    }

    fn has_new_data(&mut self, path: &Path, after: u64) -> io::Result<bool> {
        // A file that was cut at the end of a block keeps whole old extents.
        const BLOCK: u64 = 4096;
        let Some(Target::Inode(number)) = self.find(path)?.map(|found| found.target) else {
            return Ok(false);
        };
        let mut size = None;
        let mut end = 0;
        for item in self.items(number, &[INODE_ITEM, EXTENT_DATA]) {
            let item = item?;
            if item.key.kind == INODE_ITEM {
                let inode = inodes::inode(&item.bytes).ok_or_else(malformed)?;
                size = Some(inode.size).filter(|size| !inode.is_in_place() && size % BLOCK != 0);
                continue;
            }
            match items::old_data(&item.bytes, after).ok_or_else(malformed)? {
                Some(length) if item.key.offset == end => end = end.saturating_add(length),
                // A gap between two is a hole.
                _ => return Ok(true),
            }
        }
        Ok(size.is_none_or(|size| end < size))
    }
}
