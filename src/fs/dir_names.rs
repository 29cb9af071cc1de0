//! Lists directories that other processes change meanwhile.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::fs::path_error::{at_path, if_exists};

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
    let names = all_names_in(dir)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Returns the names in a directory, sorted, by one read; empty if it does not exist. They need not be UTF-8.
///
/// # Errors
/// Names the directory.
pub fn all_names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    let entries = if_exists(dir.read_dir()).map_err(|e| at_path(&e, dir))?;
    let names = entries.into_iter().flatten();
    let names = names.map(|entry| entry.map(|e| e.file_name()));
    let mut names: Vec<OsString> = names
        .collect::<io::Result<_>>()
        .map_err(|e| at_path(&e, dir))?;
    names.sort();
    Ok(names)
}
