//! Record files: read safely whatever the path is, and replaced atomically.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::fs::atomic::{self, Durable};
use crate::fs::opener;
use crate::fs::path_error::at_path;

/// The largest record that is read, in bytes.
pub const LIMIT: u64 = 16 << 20;

/// Returns a record's text; `None` if the file does not exist.
///
/// Anything but a regular file of at most 16 MiB is an error, symbolic links too.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    // The file can be of any type: a pipe must not block the reader, nor a link lead it out of the pool.
    let text = match opener::file(path) {
        Ok(Some(file)) => text_of(file),
        Ok(None) => return Ok(None),
        Err(e) if is_no_file(&e) => Err(not_ours()),
        Err(e) => Err(e),
    };
    text.map(Some).map_err(|e| at_path(&e, path))
}

/// Returns whether it is something other than a regular file.
fn is_no_file(error: &io::Error) -> bool {
    use nix::libc::{EISDIR, ELOOP, ENXIO};
    matches!(error.raw_os_error(), Some(EISDIR | ELOOP | ENXIO))
}

fn text_of(file: File) -> io::Result<String> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(not_ours());
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

fn not_ours() -> io::Error {
    io::Error::other("not a file netbe wrote")
}

/// Writes a record durably, in one step.
pub fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    put(path, record, Durable::AtOnce)
}

/// Writes a record in one step; the caller syncs the filesystem before anything depends on it.
pub fn write_before_sync(path: &Path, record: &impl Serialize) -> Result<()> {
    put(path, record, Durable::WithNextSync)
}

fn put(path: &Path, record: &impl Serialize, durable: Durable) -> Result<()> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    Ok(atomic::private(path, text.as_bytes(), durable)?)
}
