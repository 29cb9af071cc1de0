//! Replacing one of netbe's own files or links in one step, and making its directories.
//!
//! Promises that a reader, and the disk after a power cut, has the old content or the new, whole. For
//! paths of the pool only; inside an environment it is `Tree::write`.

mod owner;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::fs::path_error::at_path;

/// When a new content is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// When the call returns.
    AtOnce,
    /// With the filesystem's next sync, which the caller does before anything rests on it. Until then it is the
    /// old content or the new, as ever; one that replaces nothing may be empty after a crash.
    WithNextSync,
}

/// Makes a directory, and those above it, where there is none.
///
/// # Errors
/// Names the path.
pub fn directories(path: &Path) -> io::Result<()> {
    match fs::create_dir_all(path) {
        // One that is there and could not be looked at is told as being in the way of itself.
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
/// Names the path; the old file stands.
pub fn file(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    with_mode(path, content, 0o644, durable)
}

/// Replaces the content of a file that is root's alone to read; mode 0600.
///
/// # Errors
/// Names the path; the old file stands.
pub fn private(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    with_mode(path, content, 0o600, durable)
}

/// Replaces a program's content; mode 0755.
///
/// # Errors
/// Names the path; the old file stands.
pub fn program(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    with_mode(path, content, 0o755, durable)
}

fn with_mode(path: &Path, content: &[u8], mode: u32, durable: Durable) -> io::Result<()> {
    let staged = beside(path);
    let written = (|| {
        match fs::remove_file(&staged) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // Anew: on the pool, a link that a node planted there would have another file written.
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            // Never more than in the end: what is in it may be secret.
            .mode(mode)
            .open(&staged)?;
        new.set_permissions(fs::Permissions::from_mode(mode))?;
        new.write_all(content)?;
        // Before the rename: the filesystem may commit at any moment, and does not wait for what is in a file of
        // more than 2 KiB. What replaces a file must not be there with nothing in it.
        if durable == Durable::AtOnce || path.symlink_metadata().is_ok() {
            new.sync_all()?;
        }
        fs::rename(&staged, path)?;
        match (durable, path.parent()) {
            // Until then the name leads to the old content after a crash.
            (Durable::AtOnce, Some(parent)) => directory(parent),
            _ => Ok(()),
        }
    })();
    finish(path, &staged, written)
}

/// Makes `path` a link to `target`, replacing a link or file that is there, in one step.
///
/// Not durable by itself: [`directory`] or a sync of the filesystem makes it so.
pub fn link(path: &Path, target: &Path) -> io::Result<()> {
    let staged = beside(path);
    match fs::remove_file(&staged) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return finish(path, &staged, Err(e)),
        _ => {}
    }
    let made = symlink(target, &staged).and_then(|()| fs::rename(&staged, path));
    finish(path, &staged, made)
}

/// Makes the names in a directory durable.
pub fn directory(path: &Path) -> io::Result<()> {
    super::opener::directory(path)
        .and_then(|d| d.sync_all())
        .map_err(|e| at_path(&e, path))
}

/// Returns the hidden name beside `path` that a replacement is made under.
///
/// Who makes it is in it, so that two writers of shared files never write one staged file, and what a dead one left
/// is told from what is being made; a leading dot keeps servers that read whole directories away from it.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", owner::own()))
}

/// Returns whether a name is one that a replacement is made under, now or once.
pub fn is_leftover(name: &str) -> bool {
    maker_of(name).is_some_and(owner::is_one)
}

/// Returns whether who makes the replacement of that name still lives.
pub fn is_being_made(name: &str) -> bool {
    maker_of(name).is_some_and(owner::lives)
}

fn maker_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.')?.strip_suffix(".new")?;
    Some(name.rsplit_once('.')?.1)
}

fn finish(path: &Path, staged: &Path, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|e| {
        // Best effort: the error in hand is the one to tell.
        let _ = fs::remove_file(staged);
        at_path(&e, path)
    })
}
