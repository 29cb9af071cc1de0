//! Finds a lent file that programs moved, as by `mv resolv.conf resolv.conf.old`.
//!
//! The kernel knows the path of an open file; without one, after a kill, only the file's own directory is searched. Not
//! for putting it back.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::Lent;
use crate::fs::opener::descriptor_path;
use crate::fs::rooted::Tree;

/// Returns the path of a lent file that was moved.
pub(super) fn find(lent: &Lent, tree: &Tree, open: Option<&File>) -> Option<String> {
    let is_it = |path: &String| {
        let there = tree.symlink_metadata(path).ok().flatten();
        // With its first name, it was never moved to its place.
        *path != lent.path
            && *path != lent.aside_path()
            && there.is_some_and(|m| m.is_file() && m.ino() == lent.inode)
    };
    let known = open.and_then(|open| path_of(open, tree));
    known.filter(is_it).or_else(|| {
        let parent = lent.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let names = tree.names(parent).ok()?.into_iter();
        names.map(|name| format!("{parent}/{name}")).find(is_it)
    })
}

/// Returns the path of an open file in a tree, from the kernel.
fn path_of(open: &File, tree: &Tree) -> Option<String> {
    let path = fs::read_link(descriptor_path(open)).ok()?;
    let root = fs::canonicalize(tree.path()).ok()?;
    Some(path.strip_prefix(root).ok()?.to_str()?.to_string())
}
