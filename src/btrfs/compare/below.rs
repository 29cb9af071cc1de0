//! A directory of a tree, as a separate tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Age, Changed, Node, Point, Side};

/// A directory of a tree.
pub(super) struct Below<S> {
    pub(super) tree: S,
    /// Its path, relative to the top.
    pub(super) directory: PathBuf,
}

impl<S> Below<S> {
    fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// Returns the paths that are below the directory, relative to it.
    fn below(&self, paths: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let below = |path: &PathBuf| path.strip_prefix(&self.directory).map(Path::to_path_buf);
        paths.iter().flat_map(below).collect()
    }
}

impl<S: Side> Side for Below<S> {
    fn stat(&mut self, path: &Path) -> io::Result<Option<Node>> {
        self.tree.stat(&self.path(path))
    }

    fn names(&mut self, path: &Path, limit: usize) -> io::Result<Option<BTreeMap<OsString, u64>>> {
        self.tree.names(&self.path(path), limit)
    }

    fn open(&mut self, path: &Path) -> io::Result<Option<File>> {
        self.tree.open(&self.path(path))
    }

    fn changed(&mut self, after: u64, limit: usize) -> io::Result<Changed> {
        let changed = self.tree.changed(after, limit)?;
        Ok(Changed {
            directories: self.below(&changed.directories),
            others: self.below(&changed.others),
            // These stand for paths that are not known.
            too_deep: changed.too_deep,
            more: changed.more,
        })
    }

    fn age(&mut self, path: &Path, after: Point) -> io::Result<Age> {
        self.tree.age(&self.path(path), after)
    }

    fn has_new_data(&mut self, path: &Path, after: u64) -> io::Result<bool> {
        self.tree.has_new_data(&self.path(path), after)
    }
}
