//! The chattr(1) flags that protect a file in whose place another is lent: removed for the run, and set afterwards on the
//! file that is there then.

use std::ffi::c_int;
use std::fs::File;
use std::io;

use nix::errno::Errno;

use crate::fs::rooted::Tree;
use crate::fs::{file_flags, opener};

/// Returns the flags that protect a file; 0 for anything else.
pub(super) fn flags(tree: &Tree, path: &str) -> io::Result<c_int> {
    let flags = plain(tree, path)?.map_or(0, |file| file_flags::get(&file).unwrap_or(0));
    Ok(flags & file_flags::PROTECTED)
}

/// Removes a file's protection.
pub(super) fn remove(tree: &Tree, path: &str) -> io::Result<()> {
    if let Some(file) = plain(tree, path)? {
        file_flags::unprotect(&file);
    }
    Ok(())
}

/// Protects a file; a link, or nothing, stays as it is.
pub(super) fn add(tree: &Tree, path: &str, flags: c_int) -> io::Result<()> {
    match (flags, plain(tree, path)?) {
        (0, _) | (_, None) => Ok(()),
        (flags, Some(file)) => Ok(file_flags::add(&file, flags)?),
    }
}

/// For serde, which passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn is_none(flags: &c_int) -> bool {
    *flags == 0
}

/// Opens a regular file; `None` for a link or a missing file.
fn plain(tree: &Tree, path: &str) -> io::Result<Option<File>> {
    let (parent, name) = tree.parent(path)?;
    match opener::file_at(&parent, name.as_str()) {
        Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => Ok(None),
        opened => Ok(opened?),
    }
}
