//! Replaces one of netbe's own files or links in one step, and makes its directories.
//!
//! A reader, and the disk after a power cut, has the old content or the new one, never a part. For paths of the
//! pool only; files inside an environment are written by `Tree::write`.

mod owner;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::fs::path_error::{at_path, if_exists};

/// When new content is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// When the call returns.
    AtOnce,
    /// With the filesystem's next sync, which the caller does before anything relies on it. Until then a reader
    /// sees the old content or the new; a new file may be empty after a crash.
    WithNextSync,
}

/// Creates a directory and its missing parents.
///
/// # Errors
/// Names the path.
pub fn directories(path: &Path) -> io::Result<()> {
    match fs::create_dir_all(path) {
        // `create_dir_all` reports a directory that cannot be examined as existing: report why it cannot.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(e),
            Err(e) => Err(e),
        },
        made => made,
    }
    .map_err(|e| at_path(&e, path))
}

/// Replaces a file's content; mode 0644.
///
/// # Errors
/// Names the path; the old file is unchanged.
pub fn file(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    with_mode(path, content, 0o644, durable)
}

/// Replaces the content of a file that only root can read; mode 0600.
///
/// # Errors
/// Names the path; the old file is unchanged.
pub fn private(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    with_mode(path, content, 0o600, durable)
}

fn with_mode(path: &Path, content: &[u8], mode: u32, durable: Durable) -> io::Result<()> {
    let staged = beside(path);
    let written = (|| {
        if_exists(fs::remove_file(&staged))?;
        // Exclusively: a link that a node planted in the pool would redirect the write.
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            // Never wider than the final mode: the content may be secret.
            .mode(mode)
            .open(&staged)?;
        new.set_permissions(fs::Permissions::from_mode(mode))?;
        new.write_all(content)?;
        // Before the rename: the filesystem may commit at any time, and does not wait for data of files over 2
        // KiB, so an existing file could be replaced by an empty one.
        if durable == Durable::AtOnce || path.symlink_metadata().is_ok() {
            new.sync_all()?;
        }
        fs::rename(&staged, path)?;
        match (durable, path.parent()) {
            // Otherwise the name has the old content again after a crash.
            (Durable::AtOnce, Some(parent)) => directory(parent),
            _ => Ok(()),
        }
    })();
    finish(path, &staged, written)
}

/// Makes `path` a symbolic link to `target`; replaces a link or file in one step.
///
/// Not durable: follow with [`directory`] or a sync of the filesystem.
pub fn link(path: &Path, target: &Path) -> io::Result<()> {
    let staged = beside(path);
    let made = if_exists(fs::remove_file(&staged))
        .and_then(|_| symlink(target, &staged))
        .and_then(|()| fs::rename(&staged, path));
    finish(path, &staged, made)
}

/// Makes the names in a directory durable.
pub fn directory(path: &Path) -> io::Result<()> {
    let opened = super::opener::directory(path)?;
    opened.sync_all().map_err(|e| at_path(&e, path))
}

/// Returns the hidden name beside `path` under which a replacement is written.
///
/// It contains the writing process, so that two writers never share a staged file, and leftovers of dead ones
/// are recognised. The leading dot hides it from servers that read whole directories.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", owner::current()))
}

/// Returns whether a name is of a staged file, in use or left over.
pub fn is_leftover(name: &str) -> bool {
    owner_of(name).is_some_and(owner::is_valid)
}

/// Returns whether the process that writes the staged file of that name is alive.
pub fn is_being_made(name: &str) -> bool {
    owner_of(name).is_some_and(owner::is_alive)
}

fn owner_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.')?.strip_suffix(".new")?;
    Some(name.rsplit_once('.')?.1)
}

fn finish(path: &Path, staged: &Path, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|e| {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(staged);
        at_path(&e, path)
    })
}
