//! The space of all environments, against `btrfs filesystem du -s` on the same, and how that time grows.
//!
//! Each environment has the files of a small Debian, and of them each has as much of its own as an upgrade leaves
//! behind: packages replaced, some removed, single files written into.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::clock::{Report, turns};
use super::{Bench, Ground, timed};

/// How many directories a system has; as many files each as a small package brings.
const DIRECTORIES: usize = 750;
const FILES: usize = 20;
/// How many environments are compared with `btrfs filesystem du`.
const SOME: usize = 36;

/// Times it for some, for many, and for some that share nothing.
pub(crate) fn space(many: usize, rounds: usize, report: &mut Report) {
    let ground = ground();
    let bench = ground.pool("space", 0);
    let base = bench.path.join("nodes/base/envs/base/root");
    for number in 0..DIRECTORIES {
        let directory = directory(&base, number);
        fs::create_dir_all(&directory).expect("the filesystem is writable");
        (0..FILES).for_each(|file| write(&directory.join(file.to_string()), number + file));
    }
    sync(&bench.path);
    grow(&bench, SOME);
    let few = both(&bench, rounds, "upgraded", report);
    grow(&bench, many);
    let [time] = turns(rounds, [&mut |_| bench.time("list -H --space")]);
    report.plain(&format!("{many}: list --space | of {SOME}"), time, few);
    report.growth("list --space", few, time, many as f64 / SOME as f64);
    drop((bench, ground));

    let ground = self::ground();
    let bench = ground.pool("apart", 1);
    bench.grow(SOME);
    for (_, root) in roots(&bench) {
        for number in 0..DIRECTORIES {
            let directory = directory(&root, number);
            fs::create_dir_all(&directory).expect("the filesystem is writable");
            (0..FILES).for_each(|file| write(&directory.join(file.to_string()), number + file));
        }
    }
    sync(&bench.path);
    both(&bench, rounds, "sharing nothing", report);
}

/// Returns a filesystem where looking at a directory is no change of it: btrfs would change every one of them.
fn ground() -> Ground {
    let ground = Ground::new();
    timed(
        Command::new("mount")
            .args(["-o", "remount,noatime"])
            .arg(ground.filesystem.path()),
    );
    ground
}

/// Times netbe and btrfs on the same environments; returns netbe's time.
fn both(bench: &Bench, rounds: usize, which: &str, report: &mut Report) -> Duration {
    let mut du = Command::new("btrfs");
    du.args(["filesystem", "du", "-s"]);
    du.args(roots(bench).iter().filter_map(|(_, root)| root.parent()));
    let [ours, theirs] = turns(
        rounds,
        [&mut |_| bench.time("list -H --space"), &mut |_| {
            timed(&mut du)
        }],
    );
    let what = format!("{SOME} {which}: list --space | btrfs fi du");
    report.ratio(&what, ours, theirs, 0.05);
    ours
}

/// Makes environments until there are so many, and upgrades those that are new.
fn grow(bench: &Bench, count: usize) {
    let before: Vec<_> = roots(bench);
    bench.grow(count);
    for (number, root) in roots(bench) {
        if !before.iter().any(|(_, old)| *old == root) {
            upgrade(&root, number);
        }
    }
    sync(&bench.path);
}

/// Does to a system what an upgrade does: 15 packages replaced, 5 removed, 30 files written into.
fn upgrade(root: &Path, number: usize) {
    let chosen = |i: usize, of: usize| (number * 7919 + i * 104_729) % of;
    for i in 0..15 {
        let directory = directory(root, chosen(i, DIRECTORIES));
        // What this was made from may have it removed.
        fs::create_dir_all(&directory).expect("the filesystem is writable");
        for file in 0..FILES {
            let (new, old) = (
                directory.join(format!("{file}.new")),
                directory.join(file.to_string()),
            );
            write(&new, number + i + file);
            fs::rename(new, old).expect("it was just written");
        }
    }
    for i in 15..20 {
        let _ = fs::remove_dir_all(directory(root, chosen(i, DIRECTORIES)));
    }
    for i in 20..50 {
        let file = directory(root, chosen(i, DIRECTORIES)).join(chosen(i, FILES).to_string());
        if let Ok(file) = File::options().write(true).open(file) {
            file.write_all_at(b"changed", 0).expect("it is writable");
        }
    }
}

fn directory(root: &Path, number: usize) -> PathBuf {
    root.join(format!("usr/share/{}/{number}", number / 25))
}

/// Writes a file of one of seven sizes; three of them stand in the tree itself.
fn write(path: &Path, number: usize) {
    let size = [300, 800, 1500, 5000, 9000, 20_000, 40_000][number % 7];
    fs::write(path, vec![b'x'; size]).expect("the filesystem is writable");
}

/// Returns the roots of all environments but the template's, each with a number.
fn roots(bench: &Bench) -> Vec<(usize, PathBuf)> {
    let mut found = Vec::new();
    for node in fs::read_dir(bench.path.join("nodes"))
        .expect("it is there")
        .flatten()
    {
        if node.file_name() == "base" {
            continue;
        }
        for env in fs::read_dir(node.path().join("envs"))
            .into_iter()
            .flatten()
            .flatten()
        {
            found.push(env.path().join("root"));
        }
    }
    found.sort();
    found.into_iter().enumerate().collect()
}

fn sync(path: &Path) {
    timed(Command::new("sync").arg("-f").arg(path));
}
