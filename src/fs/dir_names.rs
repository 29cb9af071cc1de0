//! Lists directories that other processes change meanwhile.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::fs::path_error::at_path;

/// How many times something that changes is read again. A read takes milliseconds; commands that remove
/// something take longer.
pub const MAX_READS: usize = 8;

/// By how much a timestamp may be early: the kernel's clock advances by ticks, at least a hundred a second
/// (`CONFIG_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the names in a directory, sorted; empty if it does not exist. Names that are not UTF-8 are skipped:
/// netbe uses none.
///
/// readdir(3) may return neither name of an entry that is renamed meanwhile, so the directory is read again if
/// it was, or may have been, changed.
///
/// # Errors
/// Names the directory.
pub fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut began = SystemTime::now();
    let mut names = read_names(dir)?;
    for _ in 1..MAX_READS {
        match dir.metadata().and_then(|m| m.modified()) {
            Ok(changed)
                if changed
                    .checked_add(TICK)
                    .is_none_or(|latest| latest >= began) => {}
            _ => break,
        }
        began = SystemTime::now();
        names = read_names(dir)?;
    }
    Ok(names)
}

fn read_names(dir: &Path) -> io::Result<Vec<String>> {
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
