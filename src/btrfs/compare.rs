//! Compares two directory trees, file by file.
//!
//! Of subvolumes with a common ancestor, [`How::Since`] looks only at inodes changed since, which the trees tell;
//! [`How::All`] looks at all inodes. [`How::Files`] walks the files, for callers without CAP_SYS_ADMIN; the result is
//! the same. Files with the same extents, or the same inline data, are not read. Nothing is modified, not even access
//! times where that is allowed. Ignored: times, location on disk, hard links, the content of nested subvolumes.

mod files;
mod node;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::changed_since::PATH;
use crate::fs::{interrupt, same_content};

use node::Content;
pub use node::{Aspect, Change, Kind, Node};

/// Limit of the memory used for paths, in bytes, and the overhead of each.
const MEMORY_MAX: usize = 1 << 30;
const PATH_OVERHEAD: usize = 64;
/// The largest directory that is compared.
const NAMES: usize = 4 << 20;

/// The two trees: before, after.
type Sides<'a> = [Box<dyn Side + 'a>; 2];

/// Which inodes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Those changed in either tree after this transaction, at which both were equal.
    Since(u64),
    /// All, read from the trees.
    All,
    /// All, read from the files; requires only read permission.
    Files,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The differences, sorted by path.
    pub changes: Vec<Change>,
    /// Paths that could not be read: no permission, or a path that is too long.
    pub unread: BTreeSet<PathBuf>,
}

/// One of the two trees.
trait Side {
    /// Returns the file at a path.
    fn stat(&mut self, path: &Path) -> io::Result<Option<Node>>;

    /// Returns a directory's names with their inode numbers; empty if it does not exist.
    fn names(&mut self, path: &Path) -> io::Result<BTreeMap<OsString, u64>>;

    /// Opens a regular file for reading.
    fn open(&mut self, path: &Path) -> io::Result<Option<File>>;

    /// Returns every path to an inode changed after a transaction, directories apart.
    fn changed(&mut self, after: u64) -> io::Result<Changed>;
}

/// The changed paths of a tree.
#[derive(Debug, Default)]
struct Changed {
    directories: BTreeSet<PathBuf>,
    others: BTreeSet<PathBuf>,
    /// Stands for changed files whose path is too long.
    too_deep: BTreeSet<PathBuf>,
}

/// Compares the trees at two trusted paths.
///
/// # Errors
/// If a tree cannot be read, or a stop was requested.
pub fn between(before: &Path, after: &Path, how: How) -> io::Result<Compared> {
    let sides: Sides<'_> = match how {
        How::Files => [
            Box::new(files::Files::open(before)?),
            Box::new(files::Files::open(after)?),
        ],
        How::Since(_) | How::All => [
            Box::new(trees::Trees::open(before)?),
            Box::new(trees::Trees::open(after)?),
        ],
    };
    let mut comparison = Comparison {
        sides,
        descends: !matches!(how, How::Since(_)),
        found: BTreeMap::new(),
        pending: Vec::new(),
        memory_left: MEMORY_MAX,
        seen: BTreeSet::new(),
        walked: BTreeSet::new(),
        unread: BTreeSet::new(),
    };
    match how {
        How::Since(transaction) => comparison.since(transaction)?,
        How::All | How::Files => {
            comparison.pending.push(Step::File(PathBuf::new()));
            comparison.run()?;
        }
    }
    Ok(Compared {
        changes: comparison.found.into_values().collect(),
        unread: comparison.unread,
    })
}

/// Fails for a directory with more than `NAMES` names.
fn refuse_many(names: usize) -> io::Result<()> {
    interrupt::check_io()?;
    match names < NAMES {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "a directory has more than {NAMES} names"
        ))),
    }
}

struct Comparison<'a> {
    sides: Sides<'a>,
    /// Whether to descend into directories with the same inode in both.
    descends: bool,
    found: BTreeMap<PathBuf, Change>,
    /// Pending steps, last first: a tree may be deeper than the stack.
    pending: Vec<Step>,
    /// Bytes left of `MEMORY_MAX`.
    memory_left: usize,
    seen: BTreeSet<PathBuf>,
    /// Directories whose entries were compared.
    walked: BTreeSet<PathBuf>,
    unread: BTreeSet<PathBuf>,
}

/// A step of the comparison.
enum Step {
    /// Compare the files at this path.
    File(PathBuf),
    /// Compare the entries of this directory.
    Entries(PathBuf),
}

impl Comparison<'_> {
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
        for side in &mut self.sides {
            let changed = side.changed(transaction)?;
            all.directories.extend(changed.directories);
            all.others.extend(changed.others);
            all.too_deep.extend(changed.too_deep);
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
        self.unread.extend(all.too_deep);
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
        let aspects = match (&before, &after) {
            (Some(before), Some(after)) => self.aspects(path, before, after)?,
            _ => Vec::new(),
        };
        let both = before.is_some() && after.is_some();
        if !aspects.is_empty() || (!both && (before.is_some() || after.is_some())) {
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

    /// Compares the entries of a directory.
    fn entries(&mut self, path: &Path) -> io::Result<()> {
        if !self.walked.insert(path.to_path_buf()) {
            return Ok(());
        }
        let mut names: BTreeMap<OsString, [Option<u64>; 2]> = BTreeMap::new();
        for (number, side) in self.sides.iter_mut().enumerate() {
            match side.names(path) {
                Ok(found) => {
                    for (name, inode) in found {
                        names.entry(name).or_default()[number] = Some(inode);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    self.unread.insert(path.to_path_buf());
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        for (name, [before, after]) in names {
            let below = path.join(name);
            if !self.descends && before == after {
                continue;
            }
            if below.as_os_str().len() >= PATH {
                // A longer path cannot be opened.
                self.unread.insert(path.to_path_buf());
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
                self.unread.insert(path.to_path_buf());
                Ok(true)
            }
            (Err(e), _) | (_, Err(e)) => Err(e),
            // One was removed meanwhile.
            _ => Ok(false),
        }
    }
}
