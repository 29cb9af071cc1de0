//! Which file of an ext filesystem a path leads to.
//!
//! The image is untrusted: the number of symbolic links is bounded. Not for reading the file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, ensure};
use nix::sys::stat::SFlag;

use super::ext::{Ext, TOP};

/// How many symbolic links are followed in a path, as in the kernel.
const MAX_LINKS: usize = 40;

/// Resolves a path, a final symbolic link not followed; `None` if it does not exist.
///
/// Other symbolic links are followed as on the system itself: absolute ones start at the image's root.
pub(super) fn find(ext: &Ext<'_>, path: &str) -> Result<Option<u32>> {
    let mut at = vec![TOP];
    let mut pending: Vec<OsString> = parts(OsStr::new(path));
    let mut links = 0;
    while let Some(part) = pending.pop() {
        crate::fs::interrupt::check()?;
        if part == ".." {
            if at.len() > 1 {
                at.pop();
            }
            continue;
        }
        let Some(directory) = at.last().copied() else {
            return Ok(None);
        };
        if ext.node(directory)?.kind != SFlag::S_IFDIR {
            return Ok(None);
        }
        let Some(found) = lookup(ext, directory, &part)? else {
            return Ok(None);
        };
        let node = ext.node(found)?;
        if node.kind == SFlag::S_IFLNK && !pending.is_empty() {
            links += 1;
            ensure!(
                links <= MAX_LINKS,
                "too many symbolic links in the path '{path}'"
            );
            let target = ext.target(found)?;
            if target.as_bytes().starts_with(b"/") {
                at.truncate(1);
            }
            pending.extend(parts(&target));
            continue;
        }
        at.push(found);
    }
    Ok(at.last().copied())
}

/// Returns the components of a path in reverse.
fn parts(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsStr::from_bytes(part).to_os_string())
        .rev()
        .collect()
}

fn lookup(ext: &Ext<'_>, directory: u32, wanted: &OsStr) -> Result<Option<u32>> {
    ext.begin();
    let mut found = None;
    ext.names(directory, &mut |name, number| {
        if name == wanted {
            found = Some(number);
        }
        Ok(())
    })?;
    Ok(found)
}
