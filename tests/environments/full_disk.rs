//! A full filesystem, and one that cannot be written.

use std::fs::{self, File};
use std::io::Write;

use crate::support::{Pool, SERVER, System};

/// Returns a small pool with a node `nog`, `nog/a` active, `nog/b` beside it.
fn small() -> Pool {
    let pool = Pool::bare(192 << 20);
    pool.netbe().ok(&format!("init --server {SERVER}"));
    pool.import("base/stock", &System::debian());
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("create nog/b");
    pool
}

/// Fills the filesystem: data first, then what small files go into, until nothing is taken any more.
fn fill(pool: &Pool) {
    let directory = pool.at("fill");
    fs::create_dir_all(&directory).unwrap();
    let mut large = File::create(directory.join("large")).unwrap();
    let mut chunk = vec![0x5a_u8; 1 << 20];
    while large.write_all(&chunk).is_ok() && large.sync_all().is_ok() {}
    // Incompressible or not, inline or not: whatever is left goes.
    for size in [64 << 10, 4096, 2000] {
        chunk.truncate(size);
        let mut number = 0_u32;
        while fs::write(directory.join(format!("{size}-{number}")), &chunk).is_ok()
            && number < 20_000
        {
            number += 1;
        }
    }
    sync(pool);
}

/// Ends the filesystem's transaction, which is when space comes back.
fn sync(pool: &Pool) {
    crate::support::run(
        std::process::Command::new("btrfs")
            .args(["filesystem", "sync"])
            .arg(pool.path()),
    );
}

/// Holds that an error says that the pool is full, what takes its space and what frees some, and names nothing hidden.
fn assert_tells_of_space(said: &str) {
    for words in [
        "No space left on device",
        "note: the pool has ",
        "the largest are other files and snapshots ",
        "netbe prune -n\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains(".staged-"), "{said}");
}

#[test]
fn invariant_9_on_a_full_disk_create_leaves_no_files_and_destroy_works() {
    let pool = small();
    fill(&pool);
    let mut failed = 0;
    for i in 0..30 {
        let output = pool.netbe().run(&format!("create nog/x{i}"));
        if output.status != 0 {
            failed += 1;
            assert_eq!(output.status, 1, "{output:#?}");
            assert_tells_of_space(&output.stderr);
            assert!(!pool.names("nog").contains(&format!("x{i}")));
            break;
        }
        fill(&pool);
    }
    assert_eq!(failed, 1, "it never became full");
    let names = pool.names("nog");
    for name in &names {
        assert!(!pool.flags(&format!("nog/{name}")).contains('!'), "{name}");
    }
    assert_eq!(pool.active("nog"), "a");
    let staged: Vec<_> = fs::read_dir(pool.at("nodes/nog"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with(".staged"))
        .collect();
    assert_eq!(staged, [""; 0]);
    for name in names.iter().filter(|n| *n != "a") {
        pool.netbe().ok(&format!("destroy -y nog/{name}"));
    }
    assert_eq!(pool.names("nog"), ["a"]);
    fs::remove_dir_all(pool.at("fill")).unwrap();
    pool.netbe().ok("check --repair");
    pool.netbe().ok("create nog/b");
    pool.assert_sound();
}

#[test]
fn on_a_full_disk_a_record_is_the_old_or_the_new() {
    let pool = small();
    pool.netbe().ok("describe nog/b old");
    fill(&pool);
    let long = "new".repeat(1000);
    for _ in 0..5 {
        pool.netbe().run(&format!("describe nog/b {long}"));
        let row = pool.netbe().ok("list -H nog/b");
        let description = row.trim_end().split('\t').nth(8).unwrap().to_string();
        assert!(description == "old" || description == long, "{row}");
        assert!(!pool.flags("nog/b").contains('!'));
    }
    let active = pool.active("nog");
    let output = pool.netbe().run("activate nog/b");
    let now = pool.active("nog");
    assert_eq!(
        now,
        if output.status == 0 { "b" } else { &active },
        "{output:#?}"
    );
}

#[test]
fn an_import_that_does_not_fit_leaves_no_files() {
    let pool = small();
    fill(&pool);
    let before = pool.fingerprint();
    let system = pool.beside().join("system");
    System::debian().build(&system);
    let output = pool
        .netbe()
        .fails(1, &format!("import nog/c {}", system.display()));
    assert_tells_of_space(&output);
    before.assert_unchanged(&pool.fingerprint());
    fs::remove_dir_all(pool.at("fill")).unwrap();
    sync(&pool);
    pool.netbe().ok("create nog/c");
    pool.assert_sound();
}

#[test]
fn a_read_only_filesystem_can_be_read() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.remount(true);
    for line in ["list", "list --json", "list --tree", "status", "get"] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{line}: {output:#?}");
    }
    for line in [
        "create nog/c",
        "create nog/c -n",
        "activate nog/b",
        "activate nog/b -n",
        "destroy -y nog/b",
        "rename nog/b c",
        "pin nog/b",
        "set cmdline=quiet",
        "set cmdline=quiet nog",
        "import x /etc",
    ] {
        pool.refuses(1, line, &["Read-only file system"]);
    }
    pool.remount(false);
    pool.netbe().ok("activate nog/b");
    pool.assert_sound();
}
