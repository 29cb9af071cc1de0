//! A thousand streams that are not what was sent: cut, altered, put together wrongly. None leaves anything.

use std::fs;
use std::path::Path;

use crate::support::{Fingerprint, Pool};
use crate::two;

/// How many of each of the two streams.
const EACH: usize = 500;

/// What is done to a stream.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut(usize),
    Flip(usize, u8),
    Without(usize, usize),
    Twice(usize, usize),
    Zeros(usize, usize),
    Longer(usize),
}

/// Returns the `i`th damage of a stream this long, spread over all of it.
fn damage(i: usize, length: usize) -> Damage {
    // Every kind everywhere: kinds go by turns, and places by a step that has nothing in common with the number.
    let at = (i * 7919 + i / 6) % length;
    let some = 1 + i % 97;
    match i % 6 {
        0 => Damage::Cut(at),
        1 => Damage::Flip(at, 1 << (i % 8)),
        2 => Damage::Without(at, some),
        3 => Damage::Twice(at, some),
        4 => Damage::Zeros(at, some),
        // The head and the first frames have most to be wrong about.
        _ if i % 12 == 5 => Damage::Flip((i * 13) % 400, 0xff),
        _ => Damage::Longer(some),
    }
}

fn damaged(whole: &[u8], damage: Damage) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let end = |at: usize, some: usize| (at + some).min(whole.len());
    match damage {
        Damage::Cut(at) => bytes.truncate(at),
        Damage::Flip(at, by) => bytes[at] ^= by,
        Damage::Without(at, some) => drop(bytes.drain(at..end(at, some))),
        Damage::Twice(at, some) => {
            let again = whole[at..end(at, some)].to_vec();
            bytes.splice(at..at, again);
        }
        Damage::Zeros(at, some) => bytes[at..end(at, some)].fill(0),
        Damage::Longer(some) => bytes.extend(vec![0; some]),
    }
    bytes
}

fn import(pool: &Pool, i: usize, name: &str, changes: bool, bytes: &[u8]) {
    let path = pool.beside().join(format!("damaged-{}", i % 2));
    fs::write(&path, bytes).unwrap();
    // By turns as a file and through a pipe, into a node that is there and one that is not.
    // What rests on another is refused before, save where that is.
    let node = ["nog", "new"][if changes { 0 } else { i / 2 % 2 }];
    let line = format!("{node}/{name}");
    let output = match i % 2 {
        0 => pool
            .netbe()
            .run(&format!("import {line} {}", path.display())),
        _ => pool.reads(&line, &path),
    };
    let errors = output
        .stderr
        .lines()
        .filter(|l| l.starts_with("error: "))
        .count();
    assert!(
        output.status == 1 && errors == 1 && !output.stderr.contains("panic"),
        "{i}: {output:?}"
    );
}

fn assert_nothing_left(pool: &Pool, before: &(Fingerprint, Vec<String>)) {
    before.0.assert_unchanged(&pool.fingerprint());
    assert_eq!(pool.subvolumes(), before.1);
    pool.assert_sound();
}

#[test]
fn a_thousand_damaged_streams_leave_no_files() {
    let (here, there) = two();
    let first = here.exported("nog/a");
    there
        .netbe()
        .ok(&format!("import nog/a {}", first.display()));
    here.netbe().ok("create nog/b");
    for (path, text) in [
        ("etc/motd", "changed"),
        ("srv/new", "new"),
        ("srv/more", "more"),
    ] {
        fs::write(here.half("nog/b", "root").join(path), text).unwrap();
    }
    let changes = here.exported("nog/b --since nog/a");
    let before = (there.fingerprint(), there.subvolumes());
    for stream in [&first, &changes] {
        let whole = fs::read(stream).unwrap();
        let mut done = 0;
        for i in 0.. {
            let altered = damaged(&whole, damage(i, whole.len()));
            // Zeros in the place of zeros damage nothing.
            if altered == whole {
                continue;
            }
            import(&there, done, "x", stream == &changes, &altered);
            done += 1;
            if done == EACH {
                break;
            }
        }
        assert_nothing_left(&there, &before);
    }
    // Spliced of two streams that are whole.
    let (a, b) = (fs::read(&first).unwrap(), fs::read(&changes).unwrap());
    for (i, at) in [60, 1000, 2000].into_iter().enumerate() {
        let at = at.min(a.len()).min(b.len());
        import(&there, i, "x", false, &[&a[..at], &b[at..]].concat());
    }
    assert_nothing_left(&there, &before);
    // And undamaged they still do.
    there
        .netbe()
        .ok(&format!("import nog/b {}", changes.display()));
    there
        .netbe()
        .ok(&format!("import new/a {}", first.display()));
    assert_nobody_works_on(&there);
}

/// Insists that no process is left that was told of a pool; other tests' are running meanwhile.
fn assert_nobody_works_on(pool: &Pool) {
    let path = pool.path().to_string_lossy().into_owned();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let told = [read("cmdline"), read("environ")].concat();
        let of_netbe = read("comm").starts_with(b"netbe");
        assert!(
            !of_netbe || !String::from_utf8_lossy(&told).contains(&path),
            "{:?} is left",
            entry.path()
        );
    }
}

#[test]
fn a_changed_base_is_refused() {
    let (here, there) = two();
    here.sends("nog/a", &there, "nog/a");
    here.netbe().ok("create nog/b");
    let changes = here.exported("nog/b --since nog/a");
    let spoil = |root: &Path| {
        let set = |value: &str| {
            crate::support::run(
                std::process::Command::new("btrfs")
                    .args(["property", "set", "-f"])
                    .arg(root)
                    .args(["ro", value]),
            );
        };
        set("false");
        fs::write(root.join("srv/planted"), "x").unwrap();
        set("true");
    };
    let before = there.skeleton();
    spoil(&there.base("nog/a").join("root"));
    let output = there
        .netbe()
        .fails(3, &format!("import nog/b {}", changes.display()));
    assert!(output.contains("root was changed"), "{output}");
    assert_eq!(there.skeleton(), before);
    spoil(&here.base("nog/a").join("root"));
    let output = here
        .netbe()
        .fails(3, "export nog/b --since nog/a -o /dev/null");
    assert!(output.contains("was changed"), "{output}");
    // A whole one goes all the same, and mends it.
    here.netbe().ok("export nog/a -o /dev/null");
    here.netbe().ok("export nog/b --since nog/a -o /dev/null");
}
