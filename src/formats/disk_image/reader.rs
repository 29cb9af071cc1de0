//! A filesystem in an image, read here and not by the server's kernel: what any of them is to those who copy it.
//!
//! Whoever made the image has chosen every byte. A reader believes nothing: what makes no sense is an error, and what
//! it gives out for one look or one copy is bounded by the size of the image. Not for where things are copied to.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use anyhow::{Result, anyhow, ensure};
use nix::sys::stat::SFlag;

use crate::fs::copy::attributes::Attributes;

/// How many links one path may go over, as in the kernel.
const LINKS: usize = 40;

/// Which file: the tree it is in, where there are several, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) tree: u64,
    pub(super) number: u64,
}

/// What is known of a file besides its content.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: SFlag,
    pub(super) attributes: Attributes,
    /// Names of attributes that mean nothing elsewhere.
    pub(super) left_out: Vec<OsString>,
    pub(super) size: u64,
    /// How many names it has.
    pub(super) links: u32,
    /// What a device node stands for, as the kernel here writes it.
    pub(super) device: u64,
}

/// Is told of each name in a directory, and what it names.
pub(super) type OnName<'a> = &'a mut dyn FnMut(&OsStr, Id) -> Result<()>;
/// Is told of each stretch of a file that is no hole, in order: where it stands, and its bytes.
pub(super) type OnData<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

/// A filesystem that can be read.
pub(super) trait Reader {
    /// Begins a new walk: from here on everything may be looked at once more.
    fn begin(&self);
    /// Returns the top directory.
    fn top(&self) -> Result<Id>;
    /// Looks at a file.
    fn node(&self, id: Id) -> Result<Node>;
    /// Goes through a directory, without `.` and `..`.
    fn names(&self, id: Id, on_name: OnName<'_>) -> Result<()>;
    /// Returns where a link leads.
    fn target(&self, id: Id, node: &Node) -> Result<OsString>;
    /// Goes through a regular file's content.
    fn content(&self, id: Id, node: &Node, on_data: OnData<'_>) -> Result<()>;
    /// Returns how many bytes are in use, for showing how far a copy is.
    fn used(&self) -> Option<u64>;
}

/// Finds what stands at a path, the last part's link not followed; `None` where nothing does.
///
/// Links in the middle are followed as the system itself would: an absolute one leads to the image's top.
pub(super) fn find(reader: &dyn Reader, path: &str) -> Result<Option<Id>> {
    let mut at = vec![reader.top()?];
    let mut todo: Vec<OsString> = parts(OsStr::new(path));
    let mut links = 0;
    while let Some(part) = todo.pop() {
        crate::fs::interrupt::check()?;
        if part == ".." {
            if at.len() > 1 {
                at.pop();
            }
            continue;
        }
        let Some(here) = at.last().copied() else {
            return Ok(None);
        };
        if reader.node(here)?.kind != SFlag::S_IFDIR {
            return Ok(None);
        }
        let Some(found) = named(reader, here, &part)? else {
            return Ok(None);
        };
        let node = reader.node(found)?;
        if node.kind == SFlag::S_IFLNK && !todo.is_empty() {
            links += 1;
            ensure!(links <= LINKS, "too many links on the way to '{path}'");
            let target = reader.target(found, &node)?;
            if target.as_bytes().starts_with(b"/") {
                at.truncate(1);
            }
            todo.extend(parts(&target));
            continue;
        }
        at.push(found);
    }
    Ok(at.last().copied())
}

/// Returns the parts of a path, the first one last.
fn parts(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsStr::from_bytes(part).to_os_string())
        .rev()
        .collect()
}

fn named(reader: &dyn Reader, directory: Id, wanted: &OsStr) -> Result<Option<Id>> {
    reader.begin();
    let mut found = None;
    reader.names(directory, &mut |name, id| {
        if name == wanted {
            found = Some(id);
        }
        Ok(())
    })?;
    Ok(found)
}

thread_local! {
    /// Whether a panic of this thread becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic of what reads an image into an error: an image is not trusted, and one sum may have been missed.
pub(super) fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    // What is said along with the panic is nothing for the user; anybody else's panic is told as before.
    QUIET.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                told(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err(anyhow!("the image's {what} is damaged: it makes no sense")))
}
