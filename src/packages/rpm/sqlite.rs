//! rpm's database in SQLite, `rpmdb.sqlite`: Fedora's, and RHEL's since 9. The only module that names it.
//!
//! A copy is read, out of reach of the node, so that SQLite opens nothing in the environment by itself; with
//! what its manual advises for files of others (sqlite.org/security.html), and bounded in work.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Database, LIMIT};
use crate::fs::interrupt;

/// The largest header of a package, in bytes; a kernel's modules and their signatures make some MiB.
const HEADER: i32 = 64 << 20;

/// After how many of its own steps SQLite is asked to go on, and how often it may: ten thousand packages
/// take some hundred thousand steps.
const STEPS: i32 = 10_000;
const TURNS: u32 = 10_000;

/// How long that may take: of a million tables each is looked for among all others.
const LONGEST: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });

/// How much memory SQLite may have, in bytes: the largest header, twice, and what it keeps of the file.
const MEMORY: i64 = 192 << 20;

/// Hands every package's header on.
pub(super) fn each(
    database: &Database<'_>,
    hear: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let room = tempfile::tempdir().map_err(|e| format!("making a copy of it: {e}"))?;
    let copy = room.path().join("rpmdb.sqlite");
    let copied = |e: io::Error| format!("making a copy of it: {e}");
    copy_of(&database.file, &copy).map_err(copied)?;
    // What was written last stands there until it is brought in. A rollback journal is left out: it may
    // name other files, which SQLite would then take away.
    let log = format!("{}-wal", database.path);
    if let Some(file) = database.root.open_file(&log).map_err(copied)? {
        copy_of(&file, &room.path().join("rpmdb.sqlite-wal")).map_err(copied)?;
    }
    let mut said = Ok(());
    // Rows may be made to lie over one another; together they are no longer than the file.
    let mut left = LIMIT;
    let read = read(&copy, &mut |blob| {
        said = within(&mut left, blob).and_then(|()| hear(blob));
        said.is_ok()
    });
    said?;
    interrupt::check().map_err(|e| e.to_string())?;
    read.map_err(|e| match e.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it takes longer to read than any".to_string(),
        _ => e.to_string(),
    })
}

/// Takes a row off how long all may still be.
fn within(left: &mut u64, blob: &[u8]) -> Result<(), String> {
    let rest = left.checked_sub(blob.len() as u64);
    *left = rest.ok_or("its packages lie over one another")?;
    Ok(())
}

fn copy_of(file: &File, to: &Path) -> io::Result<()> {
    let copied = io::copy(
        &mut interrupt::Reader::new(file).take(LIMIT + 1),
        &mut File::create_new(to)?,
    )?;
    match copied > LIMIT {
        true => Err(io::Error::other("it is larger than 512 MiB")),
        false => Ok(()),
    }
}

fn read(path: &Path, hear: &mut dyn FnMut(&[u8]) -> bool) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Nothing the file itself says is run: no views, no triggers, no functions that do anything.
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        connection.set_db_config(what, on)?;
    }
    for (what, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, HEADER),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 16),
        (Limit::SQLITE_LIMIT_COLUMN, 64),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 16),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    ] {
        connection.set_limit(what, most)?;
    }
    let (mut turns, begun) = (0, Instant::now());
    connection.progress_handler(
        STEPS,
        Some(move || {
            turns += 1;
            turns > TURNS || begun.elapsed() > LONGEST || interrupt::requested().is_some()
        }),
    )?;
    // Of the whole process, which has no other use for it.
    connection.pragma_update(None, "hard_heap_limit", MEMORY)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    let mut statement = connection.prepare("SELECT blob FROM Packages")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !hear(row.get_ref(0)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}
