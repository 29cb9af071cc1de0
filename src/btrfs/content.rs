//! The identity of a file's content, known without reading it: its inode, its times, and the places of its blocks.
//!
//! The file of a snapshot and that of its origin are equal in these until one of them is written. Promises that two files with
//! an equal [`Content`] have the same bytes. Not for files that share blocks but were made apart, as by a reflink: their inodes
//! differ, and so do their contents here.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use super::extents::{self, Layout};

/// The identity of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    inode: u64,
    size: u64,
    /// Of the last change of the inode, in seconds and nanoseconds since 1970: set by the kernel alone, and at once, while
    /// `layout` shows a write only when its data has reached the disk.
    changed: (i64, i64),
    /// The blocks, with the transactions that wrote them: an address is used again, in a later one.
    layout: Layout,
}

/// Returns the identity of a regular file's content; `None` where it cannot be told, as on other filesystems.
pub fn content(file: &File) -> Option<Content> {
    let status = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Content {
        inode: status.ino(),
        size: status.size(),
        changed: (status.ctime(), status.ctime_nsec()),
        layout: extents::layout(file, status.ino(), status.size()).ok()?,
    })
}
