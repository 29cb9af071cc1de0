//! The names in a directory that others change meanwhile.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::fs::path_error::at_path;

/// How often the same thing is looked at, at most. One look takes milliseconds, and a command that makes something
/// go takes longer.
pub const LOOKS: usize = 8;

/// By how much a change is dated too early, at most: the kernel's clock goes by ticks, a hundred a second or more
/// (`CONFIG_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the names in a directory, sorted; empty where there is none. Names that are not UTF-8 are
/// left out: none of ours is.
///
/// What is renamed while they are read is among them under one of its names: readdir(3) leaves open whether it shows
/// either, so where the directory was changed meanwhile, or might have been, it is read again.
///
/// # Errors
/// Names the directory.
pub fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut began = SystemTime::now();
    let mut names = names_now(dir)?;
    for _ in 1..LOOKS {
        match dir.metadata().and_then(|m| m.modified()) {
            Ok(changed)
                if changed
                    .checked_add(TICK)
                    .is_none_or(|latest| latest >= began) => {}
            _ => break,
        }
        began = SystemTime::now();
        names = names_now(dir)?;
    }
    Ok(names)
}

fn names_now(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match dir.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(at_path(&e, dir)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| at_path(&e, dir))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
