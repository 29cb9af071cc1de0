//! The comparison itself: a walk over the paths that may differ.
//!
//! Works in steps, without recursion: a tree may be deeper than the stack. Not for reading a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::super::changed_since::PATH;
use super::node::Content;
use super::{
    Aspect, Change, Changed, Compared, How, Kind, LOOKED_AT, NAMES, Node, OfFirst, Point, Sides,
    Unread,
};
use crate::fs::path_error::errno_of;
use crate::fs::{interrupt, same_content};

/// Limit of the memory used for paths, in bytes, and the overhead of each.
const MEMORY_MAX: usize = 1 << 30;
const PATH_OVERHEAD: usize = 64;

pub(super) struct Comparison<'a> {
    pub(super) sides: Sides<'a>,
    /// Whether to descend into directories with the same inode in both.
    descends: bool,
    /// Which changes count, with [`How::SinceInFirst`].
    of_first: Option<OfFirst>,
    found: BTreeMap<PathBuf, Change>,
    /// Pending steps, last first: a tree may be deeper than the stack.
    pending: Vec<Step>,
    /// Bytes left of `MEMORY_MAX`.
    memory_left: usize,
    seen: BTreeSet<PathBuf>,
    /// Directories whose entries were compared.
    walked: BTreeSet<PathBuf>,
    unread: Unread,
    /// How many names of a directory, and changed files, are read.
    limit: usize,
    more: bool,
    pub(super) of_both: BTreeSet<PathBuf>,
}

/// A step of the comparison.
enum Step {
    /// Compare the files at this path.
    File(PathBuf),
    /// Compare the entries of this directory.
    Entries(PathBuf),
}

impl<'a> Comparison<'a> {
    pub(super) fn new(sides: Sides<'a>, how: How) -> Self {
        Self {
            sides,
            descends: matches!(how, How::All | How::Files),
            of_first: match how {
                How::SinceInFirst(of_first) => Some(of_first),
                _ => None,
            },
            found: BTreeMap::new(),
            pending: Vec::new(),
            memory_left: MEMORY_MAX,
            seen: BTreeSet::new(),
            walked: BTreeSet::new(),
            unread: Unread::new(),
            limit: match how {
                How::SinceInFirst(of_first) if of_first.is_bounded => LOOKED_AT,
                _ => NAMES,
            },
            more: false,
            of_both: BTreeSet::new(),
        }
    }

    /// Compares the inodes selected by `how`.
    pub(super) fn compare(mut self, how: How) -> io::Result<Compared> {
        match how {
            How::Since(after)
            | How::SinceInFirst(OfFirst {
                after: Point {
                    transaction: after, ..
                },
                ..
            }) => self.since(after)?,
            How::All | How::Files => {
                self.pending.push(Step::File(PathBuf::new()));
                self.run()?;
            }
        }
        Ok(self.compared())
    }

    /// Compares the files at these paths.
    pub(super) fn these(mut self, paths: &BTreeSet<PathBuf>) -> io::Result<Compared> {
        self.descends = false;
        for path in paths {
            self.at(path)?;
        }
        self.pending.clear();
        Ok(self.compared())
    }

    fn compared(self) -> Compared {
        Compared {
            changes: self.found.into_values().collect(),
            unread: self.unread,
            more: self.more,
            of_both: self.of_both,
        }
    }

    fn run(&mut self) -> io::Result<()> {
        while let Some(step) = self.pending.pop() {
            match step {
                Step::File(path) => self.at(&path)?,
                Step::Entries(path) => self.entries(&path)?,
            }
        }
        Ok(())
    }

    fn since(&mut self, transaction: u64) -> io::Result<()> {
        let mut all = Changed::default();
        let sides = if self.of_first.is_some() { 1 } else { 2 };
        for side in &mut self.sides[..sides] {
            let changed = side.changed(transaction, self.limit)?;
            all.more |= changed.more;
            all.directories.extend(changed.directories);
            all.others.extend(changed.others);
            all.too_deep.extend(changed.too_deep);
        }
        if all.more {
            self.leave_out_more("files were changed")?;
        }
        for path in all.directories {
            self.pending.push(Step::Entries(path.clone()));
            self.pending.push(Step::File(path));
            self.run()?;
        }
        for path in all.others {
            self.pending.push(Step::File(path));
            self.run()?;
        }
        self.unread
            .extend(all.too_deep.into_iter().map(|path| (path, None)));
        Ok(())
    }

    /// Counts the memory that a path takes.
    fn reserve(&mut self, path: &Path) -> io::Result<()> {
        let taken = path.as_os_str().len() + PATH_OVERHEAD;
        self.memory_left = self.memory_left.checked_sub(taken).ok_or_else(|| {
            io::Error::other("there are more files to compare than fit into memory")
        })?;
        Ok(())
    }

    /// Compares the files at a path, and their entries unless it is one and the same directory.
    fn at(&mut self, path: &Path) -> io::Result<()> {
        interrupt::check_io()?;
        if !self.seen.insert(path.to_path_buf()) {
            return Ok(());
        }
        self.reserve(path)?;
        let [before, after] = &mut self.sides;
        let (before, after) = (before.stat(path)?, after.stat(path)?);
        let is_dir = |node: &Option<Node>| node.as_ref().is_some_and(|n| n.kind == Kind::Directory);
        let either = is_dir(&before) || is_dir(&after);
        let mut aspects = match (&before, &after) {
            (Some(before), Some(after)) => self.aspects(path, before, after)?,
            _ => Vec::new(),
        };
        let both = before.is_some() && after.is_some();
        let mut differs = !aspects.is_empty() || (!both && (before.is_some() || after.is_some()));
        if differs && let Some(of_first) = self.of_first {
            differs = self.is_of_first(path, &mut aspects, of_first)?;
        }
        if differs {
            let change = Change {
                path: path.to_path_buf(),
                before,
                after,
                aspects,
            };
            self.found.insert(path.to_path_buf(), change);
        }
        if either && (self.descends || !both) {
            self.pending.push(Step::Entries(path.to_path_buf()));
        }
        Ok(())
    }

    /// Records that there are more than the limit.
    ///
    /// # Errors
    /// If everything is to be compared.
    fn leave_out_more(&mut self, what: &str) -> io::Result<()> {
        self.more = true;
        match self.of_first {
            Some(_) => Ok(()),
            None => Err(io::Error::other(format!("more than {} {what}", self.limit))),
        }
    }

    /// Compares the entries of a directory.
    fn entries(&mut self, path: &Path) -> io::Result<()> {
        if !self.walked.insert(path.to_path_buf()) {
            return Ok(());
        }
        let mut names: BTreeMap<OsString, [Option<u64>; 2]> = BTreeMap::new();
        for (number, side) in self.sides.iter_mut().enumerate() {
            match side.names(path, self.limit) {
                Ok(None) => return self.leave_out_more("names are in a directory"),
                Ok(Some(found)) => {
                    for (name, inode) in found {
                        names.entry(name).or_default()[number] = Some(inode);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    self.unread.insert(path.to_path_buf(), errno_of(&e));
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        if self.of_first.is_some() {
            self.limit = self.limit.saturating_sub(names.len());
        }
        for (name, [before, after]) in names {
            let below = path.join(name);
            if !self.descends && before == after {
                continue;
            }
            if below.as_os_str().len() >= PATH {
                // A longer path cannot be opened.
                self.unread.insert(path.to_path_buf(), None);
                continue;
            }
            // Another directory of the same name: its entries need not be changed in either tree.
            if !self.descends && before.is_some() && after.is_some() && self.is_dir(&below)? {
                self.pending.push(Step::Entries(below.clone()));
            }
            self.pending.push(Step::File(below));
        }
        Ok(())
    }

    fn is_dir(&mut self, path: &Path) -> io::Result<bool> {
        for side in &mut self.sides {
            if side.stat(path)?.is_some_and(|n| n.kind == Kind::Directory) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn aspects(&mut self, path: &Path, before: &Node, after: &Node) -> io::Result<Vec<Aspect>> {
        if before.kind != after.kind {
            return Ok(vec![Aspect::Type]);
        }
        let mut aspects = Vec::new();
        if before.kind == Kind::File && !self.same_content(path, before, after)? {
            aspects.push(Aspect::Content);
        }
        let differences = [
            (before.mode != after.mode, Aspect::Mode),
            (before.owner != after.owner, Aspect::Owner),
            (before.target != after.target, Aspect::Target),
            (before.device != after.device, Aspect::Device),
        ];
        aspects.extend(differences.into_iter().filter(|d| d.0).map(|d| d.1));
        let names: BTreeSet<_> = before
            .attributes
            .keys()
            .chain(after.attributes.keys())
            .collect();
        let differing = names
            .into_iter()
            .filter(|name| before.attributes.get(*name) != after.attributes.get(*name));
        aspects.extend(differing.map(|name| Aspect::Attribute(name.clone())));
        Ok(aspects)
    }

    fn same_content(&mut self, path: &Path, before: &Node, after: &Node) -> io::Result<bool> {
        if before.size != after.size {
            return Ok(false);
        }
        let without_reading = match (&before.content, &after.content) {
            (Content::Inline(one), Content::Inline(other)) => Some(one == other),
            (Content::Extents(one), Content::Extents(other)) => {
                one.has_same_extents(other, before.size).then_some(true)
            }
            _ => None,
        };
        if let Some(same) = without_reading {
            return Ok(same);
        }
        let [one, other] = &mut self.sides;
        match (one.open(path), other.open(path)) {
            (Ok(Some(one)), Ok(Some(other))) => same_content::same(&one, &other, before.size),
            (Err(e), _) | (_, Err(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
                self.unread.insert(path.to_path_buf(), errno_of(&e));
                Ok(true)
            }
            (Err(e), _) | (_, Err(e)) => Err(e),
            // One was removed meanwhile.
            _ => Ok(false),
        }
    }
}
