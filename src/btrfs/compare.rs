//! How two directory trees differ, file by file.
//!
//! Of two subvolumes that were one once, only what was written since is looked at: the trees tell which inodes
//! ([`How::Since`]). Of others everything is ([`How::All`]), and who may not search trees walks the files
//! ([`How::Files`]); the answer is the same. Content that lies at the same place on disk, or in the same words in the
//! trees, is not read. Nothing is changed by it, not even a time of access where that is allowed. Times are no
//! difference, and neither is where on disk something lies, which names are one file, or what a nested subvolume holds.

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

/// How many bytes the paths may take that are held in memory, and what each takes besides.
const ROOM: usize = 1 << 30;
const FIXED: usize = 64;
/// How many names one directory may have.
const NAMES: usize = 4 << 20;

/// Which of the two trees.
type Sides<'a> = [Box<dyn Side + 'a>; 2];

/// How much is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// What either has written after this transaction, until which they were one.
    Since(u64),
    /// Everything, by the trees.
    All,
    /// Everything, file by file; no privilege needed but to read them.
    Files,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What differs, sorted by path.
    pub changes: Vec<Change>,
    /// What could not be read, for want of permission or because no path is long enough.
    pub unread: BTreeSet<PathBuf>,
}

/// One of the two trees.
trait Side {
    /// Returns what stands at a path.
    fn look(&mut self, path: &Path) -> io::Result<Option<Node>>;

    /// Returns the names in a directory, with a number that is the same for the same file; none where there is none.
    fn names(&mut self, path: &Path) -> io::Result<BTreeMap<OsString, u64>>;

    /// Opens a regular file for reading.
    fn open(&mut self, path: &Path) -> io::Result<Option<File>>;

    /// Returns every path that leads to something changed after a transaction; directories first, told apart.
    fn changed(&mut self, after: u64) -> io::Result<Changed>;
}

/// What was changed in a tree.
#[derive(Debug, Default)]
struct Changed {
    directories: BTreeSet<PathBuf>,
    others: BTreeSet<PathBuf>,
    /// Above what lies so deep that no path leads there: the directory that is told instead of it.
    too_deep: BTreeSet<PathBuf>,
}

/// Compares the trees at two paths, which are trusted themselves.
///
/// # Errors
/// Where one cannot be read, and when netbe was asked to stop.
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
        waiting: Vec::new(),
        room: ROOM,
        seen: BTreeSet::new(),
        walked: BTreeSet::new(),
        unread: BTreeSet::new(),
    };
    match how {
        How::Since(transaction) => comparison.since(transaction)?,
        How::All | How::Files => {
            comparison.waiting.push(Step::At(PathBuf::new()));
            comparison.go_on()?;
        }
    }
    Ok(Compared {
        changes: comparison.found.into_values().collect(),
        unread: comparison.unread,
    })
}

/// Ends the reading of a directory that has more names than are held in memory.
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
    /// Whether to look into directories that are the same inode in both.
    descends: bool,
    found: BTreeMap<PathBuf, Change>,
    /// What is still to be done, last things first: a tree may be deeper than a stack.
    waiting: Vec<Step>,
    /// How many bytes the paths may still take that are held in memory.
    room: usize,
    seen: BTreeSet<PathBuf>,
    /// Directories whose entries were compared.
    walked: BTreeSet<PathBuf>,
    unread: BTreeSet<PathBuf>,
}

/// What is to be done at a path.
enum Step {
    /// Compare what stands there.
    At(PathBuf),
    /// Compare what a directory has.
    Entries(PathBuf),
}

impl Comparison<'_> {
    fn go_on(&mut self) -> io::Result<()> {
        while let Some(step) = self.waiting.pop() {
            match step {
                Step::At(path) => self.at(&path)?,
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
            self.waiting.push(Step::Entries(path.clone()));
            self.waiting.push(Step::At(path));
            self.go_on()?;
        }
        for path in all.others {
            self.waiting.push(Step::At(path));
            self.go_on()?;
        }
        self.unread.extend(all.too_deep);
        Ok(())
    }

    /// Takes note that a path is held in memory.
    fn hold(&mut self, path: &Path) -> io::Result<()> {
        let taken = path.as_os_str().len() + FIXED;
        self.room = self.room.checked_sub(taken).ok_or_else(|| {
            io::Error::other("there are more files to compare than fit into memory")
        })?;
        Ok(())
    }

    /// Compares what stands at a path in both, and what is below it where that is not the same directory.
    fn at(&mut self, path: &Path) -> io::Result<()> {
        interrupt::check_io()?;
        if !self.seen.insert(path.to_path_buf()) {
            return Ok(());
        }
        self.hold(path)?;
        let [before, after] = &mut self.sides;
        let (before, after) = (before.look(path)?, after.look(path)?);
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
            self.waiting.push(Step::Entries(path.to_path_buf()));
        }
        Ok(())
    }

    /// Compares what a directory has in both.
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
                // Nothing could be opened there.
                self.unread.insert(path.to_path_buf());
                continue;
            }
            // Another directory under the same name: its own entries are no news in either tree.
            if !self.descends && before.is_some() && after.is_some() && self.is_dir(&below)? {
                self.waiting.push(Step::Entries(below.clone()));
            }
            self.waiting.push(Step::At(below));
        }
        Ok(())
    }

    fn is_dir(&mut self, path: &Path) -> io::Result<bool> {
        for side in &mut self.sides {
            if side.look(path)?.is_some_and(|n| n.kind == Kind::Directory) {
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
        let is_known = match (&before.content, &after.content) {
            (Content::Inline(one), Content::Inline(other)) => Some(one == other),
            (Content::Extents(one), Content::Extents(other)) => {
                one.lies_as(other, before.size).then_some(true)
            }
            _ => None,
        };
        if let Some(same) = is_known {
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
            // One of them went while it was looked at.
            _ => Ok(false),
        }
    }
}
