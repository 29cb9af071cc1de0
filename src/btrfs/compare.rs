//! Compares two directory trees, file by file.
//!
//! Of subvolumes with a common ancestor, [`How::Since`] looks only at inodes changed since, which the trees tell, and
//! [`How::SinceInFirst`] only at those that one of them changed;
//! [`How::All`] looks at all inodes. [`How::Files`] walks the files, for callers without CAP_SYS_ADMIN; the result is
//! the same. Files with the same extents, or the same inline data, are not read. Nothing is modified, not even access
//! times where that is allowed. Ignored: times, location on disk, hard links, the content of nested subvolumes.

mod below;
mod comparison;
mod files;
mod node;
mod of_first;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;

use comparison::Comparison;
pub use node::{Aspect, Change, Kind, Node};

/// The largest directory that is compared, and the most changed files.
const NAMES: usize = 4 << 20;
/// How many names and changed files are read with [`OfFirst::is_bounded`]: so a node that writes many files cannot make the
/// comparison take long.
const LOOKED_AT: usize = 50_000;

/// The two trees: before, after.
type Sides<'a> = [Box<dyn Side + 'a>; 2];

/// Which inodes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Those changed in either tree after this transaction, at which both were equal.
    Since(u64),
    /// Those that the first tree changed: what only the second changed is no difference, nor is content that the first
    /// holds as it was. What the first removed and the second replaced is the second's.
    SinceInFirst(OfFirst),
    /// All, read from the trees.
    All,
    /// All, read from the files; requires only read permission.
    Files,
}

/// A point in the order of a filesystem's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The transaction: what was changed later has a higher one, and so has what was only read, or shares its space.
    pub transaction: u64,
    /// The time by the clock, which tells these apart where no data was written; no clock decides over data.
    pub at: Option<Timestamp>,
}

/// What counts as changed by the first of two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfFirst {
    /// What it changed after this point.
    pub after: Point,
    /// The point after which changes of the second tree count as its own; without it, names missing in the first count as
    /// the second's own.
    pub parted: Option<Point>,
    /// Between these two transactions, not after `parted`, the second got names that the first never had.
    pub second_alone: Option<(u64, u64)>,
    /// Whether it ends with [`Compared::more`] after a limit of names and changed files.
    pub is_bounded: bool,
}

/// What stands among the unread paths for those whose directories are too deep for a path to be told.
pub const TOO_DEEP: &str = "…";

/// Paths that could not be read, each with the error where the system forbids it; without one it is too long.
pub type Unread = BTreeMap<PathBuf, Option<Errno>>;

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The differences, sorted by path.
    pub changes: Vec<Change>,
    /// Paths that could not be read: with the error where that is forbidden, else they are too long.
    pub unread: Unread,
    /// With [`How::SinceInFirst`] and the point of the parting: the paths of differences that the second tree changed since
    /// too.
    pub of_both: BTreeSet<PathBuf>,
    /// Whether there may be more differences: the first tree changed more files than are looked at.
    pub more: bool,
}

/// The files of a tree that were changed after a transaction.
#[derive(Debug, Default)]
pub struct Written {
    /// Their paths, directories apart; a change of a time alone counts too.
    pub paths: BTreeSet<PathBuf>,
    /// Whether there are more than are looked at.
    pub more: bool,
}

/// Returns the files of the subvolume at a trusted path that were changed after a transaction; dirty data is not seen.
///
/// # Errors
/// If the tree cannot be read, or a stop was requested.
pub fn changed_after(top: &Path, transaction: u64) -> io::Result<Written> {
    let changed = trees::Trees::open(top)?.changed(transaction, LOOKED_AT)?;
    Ok(Written {
        paths: changed.others,
        more: changed.more,
    })
}

/// Returns whether the subvolume at a trusted path is unchanged since a point; dirty data is not seen.
///
/// # Errors
/// If the tree cannot be read, or a stop was requested.
pub fn is_as_at(top: &Path, point: Point) -> io::Result<bool> {
    trees::Trees::open(top)?.is_as_at(point)
}

/// One of the two trees.
trait Side {
    /// Returns the file at a path.
    fn stat(&mut self, path: &Path) -> io::Result<Option<Node>>;

    /// Returns a directory's names with their inode numbers; none if it does not exist, `None` if there are more than
    /// `limit`.
    fn names(&mut self, path: &Path, limit: usize) -> io::Result<Option<BTreeMap<OsString, u64>>>;

    /// Opens a regular file for reading.
    fn open(&mut self, path: &Path) -> io::Result<Option<File>>;

    /// Returns every path to an inode changed after a transaction, directories apart; at most `limit`.
    fn changed(&mut self, after: u64, limit: usize) -> io::Result<Changed>;

    /// Returns the state of a path relative to a point.
    fn age(&mut self, path: &Path, after: Point) -> io::Result<Age>;

    /// Returns whether a regular file's data may have been written after a transaction; a new time, or sharing the
    /// same data anew, is none.
    fn has_new_data(&mut self, path: &Path, after: u64) -> io::Result<bool>;
}

/// The state of a path relative to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Nothing is there.
    Absent,
    /// It existed, and is unchanged.
    Older,
    /// It existed, and its inode was changed.
    Changed,
    /// The path, or a directory above it, got its name later.
    New,
}

/// The changed paths of a tree.
#[derive(Debug, Default)]
struct Changed {
    directories: BTreeSet<PathBuf>,
    others: BTreeSet<PathBuf>,
    /// Stands for changed files whose path is too long.
    too_deep: BTreeSet<PathBuf>,
    /// Whether there are more.
    more: bool,
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
        How::Since(_) | How::SinceInFirst(_) | How::All => [
            Box::new(trees::Trees::open(before)?),
            Box::new(trees::Trees::open(after)?),
        ],
    };
    Comparison::new(sides, how).compare(how)
}

/// Compares what is below a directory of the tree at one trusted path with the tree at another, by transactions.
///
/// # Errors
/// If a tree cannot be read, or a stop was requested.
pub fn below(
    before: &Path,
    directory: &Path,
    after: &Path,
    of_first: OfFirst,
) -> io::Result<Compared> {
    let sides: Sides<'_> = [
        Box::new(below::Below {
            tree: trees::Trees::open(before)?,
            directory: directory.to_path_buf(),
        }),
        Box::new(trees::Trees::open(after)?),
    ];
    let how = How::SinceInFirst(of_first);
    Comparison::new(sides, how).compare(how)
}

/// Compares the files at these paths in two trusted trees, and no others.
///
/// # Errors
/// If a tree cannot be read, or a stop was requested.
pub fn at(before: &Path, after: &Path, paths: &BTreeSet<PathBuf>) -> io::Result<Compared> {
    let sides: Sides<'_> = [
        Box::new(trees::Trees::open(before)?),
        Box::new(trees::Trees::open(after)?),
    ];
    let mut compared = Comparison::new(sides, How::All).these(paths)?;
    compared
        .changes
        .retain(|change| paths.contains(&change.path));
    Ok(compared)
}
