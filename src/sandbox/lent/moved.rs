//! Where a lent file is that programs moved, as `mv resolv.conf resolv.conf.old` does.
//!
//! A file that is open is told by the kernel wherever it went; without that, after a kill, it is looked for in the
//! directory it was in. Not for what becomes of it.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::Lent;
use crate::fs::rooted::Tree;

/// Returns where the lent file is, if that is another place than its own.
pub(super) fn find(lent: &Lent, tree: &Tree, open: Option<&File>) -> Option<String> {
    let is_it = |path: &String| {
        let there = tree.symlink_metadata(path).ok().flatten();
        // It never came to its place where it has its first name still.
        *path != lent.path
            && *path != lent.aside_path()
            && there.is_some_and(|m| m.is_file() && m.ino() == lent.inode)
    };
    let told = open.and_then(|open| path_of(open, tree));
    told.filter(is_it).or_else(|| {
        let parent = lent.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let names = tree.names(parent).ok()?.into_iter();
        names.map(|name| format!("{parent}/{name}")).find(is_it)
    })
}

/// Returns the path of an open file beneath a tree, as the kernel knows it.
fn path_of(open: &File, tree: &Tree) -> Option<String> {
    let path = fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd())).ok()?;
    let root = fs::canonicalize(tree.path()).ok()?;
    Some(path.strip_prefix(root).ok()?.to_str()?.to_string())
}
