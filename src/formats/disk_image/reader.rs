//! Files of a filesystem that is read in user space, and how a path leads to one.
//!
//! The image is untrusted: readers check everything, and bound their output by the size of the image. Not for copying.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use anyhow::{Result, anyhow, ensure};
use nix::sys::stat::SFlag;

use super::ext::{Ext, TOP};
use crate::fs::copy::attributes::Attributes;

/// How many symbolic links are followed in a path, as in the kernel.
const MAX_LINKS: usize = 40;

/// A file's attributes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: SFlag,
    pub(super) attributes: Attributes,
    /// Names of extended attributes that are not portable.
    pub(super) left_out: Vec<OsString>,
    pub(super) size: u64,
    /// Number of hard links.
    pub(super) links: u32,
    /// Device number, in the encoding of the running kernel.
    pub(super) device: u64,
}

/// Receives the names in a directory, and the files.
pub(super) type OnName<'a> = &'a mut dyn FnMut(&OsStr, u32) -> Result<()>;
/// Receives the data of a file in order, without holes: offset and bytes.
pub(super) type OnData<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

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

thread_local! {
    /// Whether a panic of this thread is turned into an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic while reading an image into an error: a check may be missing in this code or a crate.
pub(super) fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    // A panic message is of no use here; those of other threads are shown as before.
    QUIET.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                previous(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err(anyhow!("the image's {what} is damaged: it makes no sense")))
}
