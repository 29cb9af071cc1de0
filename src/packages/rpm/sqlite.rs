//! rpm's database in SQLite, `rpmdb.sqlite`: of Fedora, and RHEL since 9. The only user of SQLite.
//!
//! A private copy is read, so SQLite opens nothing in the environment; with the settings that its manual recommends
//! for untrusted files (sqlite.org/security.html), and limits.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Database, LIMIT};
use crate::fs::interrupt;

/// The largest header, in bytes: with a kernel's modules and signatures it has some MiB.
const HEADER: i32 = 64 << 20;

/// Limits of SQLite's work: steps between two checks, and number of checks; ten thousand packages take some hundred
/// thousand steps.
const STEPS: i32 = 10_000;
const CHECKS_MAX: u32 = 10_000;

/// Time limit: a schema of a million tables takes quadratic time.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });

/// SQLite's memory limit, in bytes: the largest header, twice, and its page cache.
const MEMORY: i64 = 192 << 20;

/// Passes every package's header to `visit`.
pub(super) fn each(
    database: &Database<'_>,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|e| format!("making a copy of it: {e}"))?;
    let copy = directory.path().join("rpmdb.sqlite");
    let copy_error = |e: io::Error| format!("making a copy of it: {e}");
    copy_of(&database.file, &copy).map_err(copy_error)?;
    // The log has the latest changes. A rollback journal is not copied: it may name other files, which SQLite would
    // delete.
    let log = format!("{}-wal", database.path);
    if let Some(file) = database.root.open_file(&log).map_err(copy_error)? {
        copy_of(&file, &directory.path().join("rpmdb.sqlite-wal")).map_err(copy_error)?;
    }
    let mut visited = Ok(());
    // Rows may overlap in the file; their total is limited by the size limit.
    let mut remaining = LIMIT;
    let read = read(&copy, &mut |blob| {
        visited = within(&mut remaining, blob).and_then(|()| visit(blob));
        visited.is_ok()
    });
    visited?;
    interrupt::check().map_err(|e| e.to_string())?;
    read.map_err(|e| match e.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it takes too long to read".to_string(),
        _ => e.to_string(),
    })
}

/// Subtracts a row from the total limit.
fn within(remaining: &mut u64, blob: &[u8]) -> Result<(), String> {
    let rest = remaining.checked_sub(blob.len() as u64);
    *remaining = rest.ok_or("its packages overlap")?;
    Ok(())
}

fn copy_of(file: &File, to: &Path) -> io::Result<()> {
    let copy_error = io::copy(
        &mut interrupt::Reader::new(file).take(LIMIT + 1),
        &mut File::create_new(to)?,
    )?;
    match copy_error > LIMIT {
        true => Err(io::Error::other("it is larger than 512 MiB")),
        false => Ok(()),
    }
}

fn read(path: &Path, visit: &mut dyn FnMut(&[u8]) -> bool) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Nothing in the file is executed: no views, triggers or functions with side effects.
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        connection.set_db_config(what, on)?;
    }
    for (what, max) in [
        (Limit::SQLITE_LIMIT_LENGTH, HEADER),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 16),
        (Limit::SQLITE_LIMIT_COLUMN, 64),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 16),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    ] {
        connection.set_limit(what, max)?;
    }
    let (mut checks, begun) = (0, Instant::now());
    connection.progress_handler(
        STEPS,
        Some(move || {
            checks += 1;
            checks > CHECKS_MAX || begun.elapsed() > TIME_MAX || interrupt::requested().is_some()
        }),
    )?;
    // For the whole process, which has no other use of SQLite.
    connection.pragma_update(None, "hard_heap_limit", MEMORY)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    let mut statement = connection.prepare("SELECT blob FROM Packages")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !visit(row.get_ref(0)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}
