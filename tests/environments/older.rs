//! A pool that an older netbe made is taken over by this one.
//!
//! `pool-0.1.btrfs.zst` was made by netbe 0.1.0 of 2026-11-28, which kept all records on the pool: `init --server 192.0.2.1`, a template
//! `base/stock`, `create nog/a`, `create nog/b -d 'the second'`, `activate nog/b`, `pin nog/a`, `set keep=7 nog`, `set cmdline=quiet`,
//! `create ordo/a --ip 10.0.0.21/24`, `activate --once nog/a`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Netbe, Pool, run};

/// Where that pool was: its boot files and exports say so.
const PLACE: &str = "/srv/netbe";

/// Returns netbe for that pool.
fn older(pool: &Pool) -> Netbe {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pool-0.1.btrfs.zst");
    let image = pool.beside().join("older.btrfs");
    let file = fs::File::open(packed).unwrap();
    zstd::stream::copy_decode(file, fs::File::create(&image).unwrap()).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/srv"]));
    fs::create_dir(PLACE).unwrap();
    run(Command::new("mount")
        .args(["-o", "loop,nosuid,nodev"])
        .arg(&image)
        .arg(PLACE));
    Netbe::new(Path::new(PLACE), pool.beside())
}

#[test]
fn a_pool_of_0_1_is_taken_over_whole() {
    let pool = Pool::bare(128 << 20);
    let netbe = older(&pool);
    let refused = netbe.run("list");
    assert_eq!(refused.status, 3, "{refused:#?}");
    assert!(
        refused
            .stderr
            .contains("hint: netbe init /srv/netbe --take-over -n\n")
    );
    netbe.ok("init --take-over -y");
    let list = netbe.ok("list -H");
    let rows: Vec<Vec<&str>> = list.lines().map(|row| row.split('\t').collect()).collect();
    let rows: Vec<[&str; 4]> = rows
        .iter()
        .map(|row| [row[0], row[1], row[2], row[8]])
        .collect();
    assert_eq!(
        rows,
        [
            ["base", "stock", "R", "-"],
            // What was pending is not taken over: it could take doubt away about what nog runs.
            ["nog", "a", "?P", "-"],
            ["nog", "b", "?R", "the second"],
            ["ordo", "a", "?R", "-"],
        ]
    );
    for (property, value) in [
        ("keep", "7"),
        ("cmdline", "quiet"),
        ("mac", "dc:a6:32:01:02:03"),
    ] {
        let got = netbe.ok(&format!("get -H {property} nog"));
        assert_eq!(got.split('\t').nth(2), Some(value), "{got}");
    }
    netbe.ok("check");
    // And goes on as any other.
    netbe.ok("create nog/c -a");
    netbe.ok("rollback nog");
    netbe.ok("clone ordo/a ordo/b");
    netbe.ok("check");
    assert!(!Path::new(PLACE).join(".locks").exists());
}
