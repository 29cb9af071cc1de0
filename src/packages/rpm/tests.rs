use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;

use super::header::tests::package_header;
use super::*;

const PACKAGES: &[(&str, &str, &str)] = &[
    ("bash", "5.2.21", "1.fc39"),
    ("kernel-core", "6.5.6", "300.fc39"),
    ("kernel-core", "6.6.9", "200.fc39"),
];

fn blobs() -> Vec<Vec<u8>> {
    PACKAGES
        .iter()
        .map(|(n, v, r)| package_header(n, v, r))
        .collect()
}

fn read(root: &Path) -> Result<Option<Vec<Package>>, Unread> {
    installed(&Tree::open(root).unwrap())
}

fn assert_read(root: &Path) {
    let mut found = read(root).unwrap().unwrap();
    found.sort();
    let want: Vec<Package> = PACKAGES
        .iter()
        .map(|(n, v, r)| Package::new(*n, "x86_64", format!("{v}-{r}")))
        .collect();
    assert_eq!(found, want);
}

fn put(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Returns the error for a database with this content.
fn error_text(path: &str, content: &[u8]) -> String {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), path, content);
    read(root.path()).unwrap_err().to_string()
}

const SQLITE: &str = "usr/lib/sysimage/rpm/rpmdb.sqlite";
const NDB: &str = "usr/lib/sysimage/rpm/Packages.db";
const BERKELEY: &str = "var/lib/rpm/Packages";

/// Runs a script on a SQLite database, and returns the connection, which keeps its log open.
fn sqlite(root: &Path, script: &str) -> Connection {
    put(root, SQLITE, b"");
    let connection = Connection::open(root.join(SQLITE)).unwrap();
    connection.execute_batch(script).unwrap();
    connection
}

const SCHEMA: &str =
    "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);";

fn insert(connection: &Connection, blob: &[u8]) {
    connection
        .execute("INSERT INTO Packages (blob) VALUES (?1)", [blob])
        .unwrap();
}

#[test]
fn the_log_of_sqlites_database_is_read_too() {
    let root = tempfile::tempdir().unwrap();
    let connection = sqlite(
        root.path(),
        &format!("PRAGMA journal_mode=WAL; {SCHEMA} PRAGMA wal_checkpoint(TRUNCATE);"),
    );
    let before = fs::read(root.path().join(SQLITE)).unwrap();
    for blob in blobs() {
        insert(&connection, &blob);
    }
    // The log was not written back, neither before nor by reading.
    assert_read(root.path());
    assert_eq!(fs::read(root.path().join(SQLITE)).unwrap(), before);
    drop(connection);
    assert_ne!(fs::read(root.path().join(SQLITE)).unwrap(), before);
    assert_read(root.path());
}

#[test]
fn other_files_are_errors() {
    assert!(error_text(SQLITE, b"garbage").contains("rpmdb.sqlite cannot be read: "));
    for script in [
        "CREATE TABLE Other (a)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (1)",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (x'00')",
        "CREATE TABLE Packages (blob); INSERT INTO Packages VALUES (zeroblob(70 << 20))",
        // Only a table is read: a view could be endless.
        "CREATE VIEW Packages (blob) AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT zeroblob(i) FROM n",
    ] {
        let root = tempfile::tempdir().unwrap();
        drop(sqlite(root.path(), script));
        let said = read(root.path()).unwrap_err().to_string();
        assert!(
            said.starts_with("/usr/lib/sysimage/rpm/rpmdb.sqlite cannot be read: "),
            "{script}: {said}"
        );
    }
    for content in [&b""[..], b"RpmP", &[0; 4096]] {
        assert!(error_text(NDB, content).contains("Packages.db cannot be read: "));
        assert!(error_text(BERKELEY, content).contains("Packages cannot be read: "));
    }
    let root = tempfile::tempdir().unwrap();
    assert_eq!(read(root.path()).unwrap(), None);
}

#[test]
fn a_database_of_very_many_tables_is_given_up() {
    let root = tempfile::tempdir().unwrap();
    drop(sqlite(
        root.path(),
        &format!(
            "PRAGMA journal_mode=OFF; {SCHEMA} PRAGMA writable_schema=1;
             WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 600000)
             INSERT INTO sqlite_master SELECT 'table', 't'||x, 't'||x, 2, 'CREATE TABLE t'||x||'(a)' FROM c;"
        ),
    ));
    let begun = crate::fs::threads::processor_time();
    let said = read(root.path()).unwrap_err().to_string();
    assert!(said.contains("too long to read"), "{said}");
    let taken = crate::fs::threads::processor_time() - begun;
    assert!(taken < std::time::Duration::from_secs(20), "{taken:?}");
}

#[test]
fn the_log_is_opened_inside_the_root_only() {
    let outside = tempfile::tempdir().unwrap();
    drop(sqlite(outside.path(), SCHEMA));
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/lib/sysimage/rpm")).unwrap();
    std::os::unix::fs::symlink(outside.path().join(SQLITE), root.path().join(SQLITE)).unwrap();
    assert_eq!(read(root.path()).unwrap(), None);
    fs::remove_file(root.path().join(SQLITE)).unwrap();
    drop(sqlite(root.path(), SCHEMA));
    assert_eq!(read(root.path()).unwrap(), Some(Vec::new()));
    let log = root.path().join(format!("{SQLITE}-wal"));
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = read(root.path()).unwrap_err().to_string();
    assert!(said.contains("is not a regular file"), "{said}");
}

/// Returns a `Packages.db` with one page of slots.
fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let little =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut slots = b"RpmP".to_vec();
    slots.extend(little(&[0, 7, 1, 9, 0, 0, 0]));
    let mut data = Vec::new();
    // A removed one.
    slots.extend(b"Slot");
    slots.extend(little(&[0, 0, 0]));
    for (i, blob) in blobs.iter().enumerate() {
        let (package, start) = (i as u32 + 1, (4096 + data.len()) as u32 / 16);
        let length = blob.len() as u32;
        data.extend(b"BlbS");
        data.extend(little(&[package, 5, length]));
        data.extend(blob);
        data.resize(data.len().next_multiple_of(16) + 4, 0);
        data.extend(little(&[0, length]));
        data.extend(b"BlbE");
        slots.extend(b"Slot");
        slots.extend(little(&[
            package,
            start,
            (4096 + data.len()) as u32 / 16 - start,
        ]));
    }
    while slots.len() < 4096 {
        slots.extend(b"Slot\0\0\0\0\0\0\0\0\0\0\0\0");
    }
    slots.extend(data);
    slots
}

#[test]
fn opensuses_database_is_read() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), NDB, &ndb(&blobs()));
    assert_read(root.path());
}

/// Returns a Berkeley DB hash with one page of pairs, the last value on two overflow pages.
fn berkeley(blobs: &[Vec<u8>], big: bool) -> Vec<u8> {
    const SIZE: usize = 1024;
    let word = |number: u32| match big {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    };
    let half = |number: usize| match big {
        true => (number as u16).to_be_bytes(),
        false => (number as u16).to_le_bytes(),
    };
    let mut head = vec![0; SIZE];
    for (at, number) in [(12, 0x0006_1561), (16, 9), (20, SIZE as u32), (32, 3)] {
        head[at..at + 4].copy_from_slice(&word(number));
    }
    head[25] = 8;
    let (last, here) = blobs.split_last().unwrap();
    let mut items = vec![[&[1][..], &[0; 4]].concat(), vec![1, 9, 9, 9, 9]];
    for (i, blob) in blobs.iter().enumerate() {
        items.push([&[1][..], &word(i as u32 + 1)].concat());
        items.push(match here.get(i) {
            Some(_) => [&[1][..], blob].concat(),
            None => [&[3, 0, 0, 0][..], &word(2), &word(last.len() as u32)].concat(),
        });
    }
    let mut pairs = vec![0; SIZE];
    pairs[20..22].copy_from_slice(&half(items.len()));
    pairs[25] = 13;
    let mut end = SIZE;
    for (i, item) in items.iter().enumerate() {
        let start = end - item.len();
        pairs[start..end].copy_from_slice(item);
        pairs[26 + 2 * i..28 + 2 * i].copy_from_slice(&half(start));
        end = start;
    }
    let (first, second) = last.split_at(50);
    let overflow = |part: &[u8], next: u32| {
        let mut page = vec![0; SIZE];
        page[16..20].copy_from_slice(&word(next));
        page[22..24].copy_from_slice(&half(part.len()));
        page[25] = 7;
        page[26..26 + part.len()].copy_from_slice(part);
        page
    };
    [head, pairs, overflow(first, 3), overflow(second, 0)].concat()
}

#[test]
fn the_old_database_is_read_in_either_byte_order() {
    for big in [false, true] {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), BERKELEY, &berkeley(&blobs(), big));
        assert_read(root.path());
    }
}

#[test]
fn loops_of_pages_and_slots_end() {
    let mut circle = berkeley(&blobs(), false);
    // The second overflow page refers to the first, and the value has the maximum length.
    circle[3 * 1024 + 16] = 2;
    let length = circle
        .windows(12)
        .position(|w| w[..8] == [3, 0, 0, 0, 2, 0, 0, 0])
        .unwrap();
    circle[length + 8..length + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error_text(BERKELEY, &circle).contains("a value in it is damaged"));
    // All slots refer to one package.
    let mut same = ndb(&blobs());
    let slot = same[48..64].to_vec();
    for other in same[64..4096].chunks_exact_mut(16) {
        other.copy_from_slice(&slot);
    }
    assert!(error_text(NDB, &same).contains("packages overlap"));
}

/// A small SQLite database of several pages.
static MADE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let made = tempfile::tempdir().unwrap();
    let connection = sqlite(made.path(), &format!("PRAGMA page_size=512; {SCHEMA}"));
    blobs().iter().for_each(|blob| insert(&connection, blob));
    drop(connection);
    fs::read(made.path().join(SQLITE)).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_databases_are_not_a_panic(
        spoiled in proptest::collection::vec((0usize..1 << 16, any::<u8>()), 1..12),
        length in 0usize..1 << 14,
    ) {
        for (path, mut content) in [
            (SQLITE, MADE.clone()),
            (NDB, ndb(&blobs())),
            (BERKELEY, berkeley(&blobs(), false)),
        ] {
            for (at, byte) in &spoiled {
                let at = at % content.len();
                content[at] = *byte;
            }
            content.truncate(length.max(64));
            let root = tempfile::tempdir().unwrap();
            put(root.path(), path, &content);
            let _ = read(root.path());
        }
    }
}
