//! A full disk: whatever does not fit leaves the old state, says so, and what frees space works.
//!
//! A small filesystem is filled to the last byte, data and trees. Then a little is freed, and a little more, and at
//! each level the command is run, until it succeeds: so each of its writes is, at some level, the first that does not
//! fit. Not for quotas.
//!
//! One command again: `NETBE_FAULT=full:activate cargo test --test faults full`; one level of it: `full:activate:32`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use nix::fcntl::{FallocateFlags, fallocate};

use crate::asked::Choice;
use crate::copies::{Ground, Place};
use crate::disk::Disks;
use crate::judge::{Faults, Judge, is_foreign, leftovers, view};
use crate::report::{against, figures};
use crate::scenes::{self, Scene};
use crate::support::Outcome;

/// How large the pool is, in bytes.
const SIZE: u64 = 192 << 20;

/// How much is freed in all, at each level of the short form: so many tree blocks, and as many blocks of data.
const LEVELS: [usize; 4] = [0, 12, 60, 300];

/// What must work when nothing fits any more.
const FREEING: [&str; 4] = ["destroy", "destroy-several", "destroy-node", "prune"];

/// Where what fills the disk lies in the pool.
const FILL: &str = "fill";

#[test]
fn invariants_1_to_4_9_and_10_hold_on_a_full_disk() {
    let scenes = scenes::all();
    let names: Vec<&str> = scenes.iter().map(|scene| scene.name).collect();
    let Some(choice) = Choice::of("full", &names) else {
        return;
    };
    let levels: Vec<usize> = match choice.number {
        Some(level) => vec![level],
        None if choice.full => (0..160).chain((160..2000).step_by(40)).collect(),
        None => LEVELS.to_vec(),
    };
    let waiting = Mutex::new(scenes);
    let tally = Mutex::new((0, 0, Faults::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (choice, levels, waiting, tally) = (&choice, &levels, &waiting, &tally);
            scope.spawn(move || {
                // Its own: netbe finds by their paths what this process has open.
                let ground = Ground::new(SIZE);
                let place = ground.place();
                while let Some(scene) = { waiting.lock().unwrap().pop() } {
                    if !choice.has(scene.name) {
                        continue;
                    }
                    let (points, failed, faults) = try_on_full(&place, &scene, levels);
                    let mut all = tally.lock().unwrap();
                    all.0 += points;
                    all.1 += failed;
                    all.2.extend(faults);
                }
                place.leave();
            });
        }
    });
    let (points, failed, faults) = tally.into_inner().unwrap();
    figures(&format!(
        "full: {points} points, {failed} of them without space, {} faults",
        faults.len()
    ));
    assert!(points > 0, "full: there is no such point");
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Runs a command at each level until it succeeds; returns how often, how often in vain, and what was wrong.
fn try_on_full(place: &Place<'_>, scene: &Scene, levels: &[usize]) -> (usize, usize, Faults) {
    let (netbe, line) = (place.netbe(), place.line(scene));
    let start = place.prepared(scene);
    let judge = rehearsed(place, scene, &start);
    let _disk = place.mount(&start);
    let fill = place.at().join(FILL);
    fill_up(&fill);
    let (mut points, mut failed, mut faults) = (0, 0, Faults::new());
    let mut freed = 0;
    // At last everything is freed, and it has to succeed.
    for level in levels.iter().copied().chain([usize::MAX]) {
        free(&fill, freed, level);
        freed = level;
        let output = netbe.run(&line);
        points += 1;
        let mut wrong = judge.standing().0;
        wrong.extend(of_outcome(place, &judge, &output));
        if output.status != 0 && (level == usize::MAX || FREEING.contains(&scene.name)) {
            wrong.push(against(9, format!("it has to work: {output:#?}")));
        }
        let is_foreign = view(&netbe, place.at()).is_ok_and(|view| is_foreign(&view));
        for reader in ["list", "status", "check"] {
            let read = netbe.run(reader);
            if is_foreign && read.status == 3 {
                continue;
            }
            if ![0, 1].contains(&read.status)
                || read.status == 1 && reader != "check"
                || read.stderr.contains("panicked")
            {
                wrong.push(against(10, format!("{reader}: {read:#?}")));
            }
        }
        let what = format!("full:{}:{level}", scene.name);
        faults.extend(wrong.iter().map(|why| format!("{what}: {why}")));
        if output.status == 0 || !wrong.is_empty() {
            break;
        }
        failed += 1;
    }
    if freed != usize::MAX {
        free(&fill, freed, usize::MAX);
    }
    faults.extend(
        judge
            .repair()
            .iter()
            .map(|why| format!("full:{}, repaired: {why}", scene.name)),
    );
    place.unmount();
    (points, failed, faults)
}

/// Runs a command where there is space; returns who judges it elsewhere.
fn rehearsed(place: &Place<'_>, scene: &Scene, start: &Disks) -> Judge {
    let netbe = place.netbe();
    place.mount(start);
    let mut judge = Judge::new(&netbe, place.at(), scene.touched, scene.steps);
    for lines in scene.between {
        for line in *lines {
            place.does(line);
        }
        judge.allow();
        place.unmount();
        place.mount(start);
    }
    netbe.ok(&place.line(scene));
    judge.allow();
    place.unmount();
    judge
}

/// Returns whether an error says that there is no space: by the kernel, or before the last of it.
fn says_full(stderr: &str) -> bool {
    ["No space left on device", "MiB are free", "are kept free"]
        .iter()
        .any(|words| stderr.contains(words))
}

/// Returns whether a message names a place, or the command that shows what could go.
fn says_where(stderr: &str) -> bool {
    stderr.contains('/') || stderr.contains("netbe prune -n")
}

/// Returns whether a message names environments of nog that do not mount the data, which the views do not show, and each that
/// it names does not.
fn is_part(pool: &Path, stderr: &str) -> bool {
    let named: Vec<&str> = stderr
        .lines()
        .filter_map(|line| {
            line.strip_prefix("error: nog/")?
                .split_once(" does not mount the data")
        })
        .map(|(env, _)| env)
        .collect();
    let mounts = |env: &&str| {
        let fstab = pool.join(format!("nodes/nog/envs/{env}/root/etc/fstab"));
        fs::read_to_string(fstab).is_ok_and(|text| text.contains("/data/+"))
    };
    !named.is_empty() && !named.iter().any(mounts)
}

/// Returns what is wrong with how a command ended, given what it left.
fn of_outcome(place: &Place<'_>, judge: &Judge, said: &Outcome) -> Faults {
    let mut faults = Faults::new();
    let views = judge.views();
    let (old, new) = (&views[0], &views[views.len() - 1]);
    let which = judge.standing().1.and_then(|which| views.get(which));
    match said.status {
        0 if which != Some(new) => {
            faults.push(against(9, format!("it says it is done: {said:#?}")));
        }
        0 => {}
        // `run` keeps 1 for what it ran.
        1 | 125 if says_full(&said.stderr) && says_where(&said.stderr) => {
            if which == Some(new) && old != new && !is_part(place.at(), &said.stderr) {
                faults.push(against(
                    9,
                    format!("it says it failed, and it is done: {said:#?}"),
                ));
            }
        }
        _ => faults.push(against(9, format!("not a clear error: {said:#?}"))),
    }
    if said.stderr.contains("panicked") {
        faults.push(against(9, format!("it panicked: {said:#?}")));
    }
    let left = leftovers(place.at());
    if !left.is_empty() {
        faults.push(against(9, format!("it left {left:?}: {said:#?}")));
    }
    faults
}

/// Fills the filesystem: data first, then trees, until nothing is taken any more.
///
/// What is freed later is in small pieces of its own: `data-N`, a block each, and `tree-N`, about a tree block each.
fn fill_up(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let mut pieces = 0;
    let mut take = |size: i64, most: usize| {
        for _ in 0..most {
            let file = File::create(directory.join(format!("data-{pieces}"))).unwrap();
            if fallocate(&file, FallocateFlags::empty(), 0, size).is_err() {
                return;
            }
            pieces += 1;
        }
    };
    take(4096, 2000);
    for size in [16 << 20, 1 << 20, 64 << 10, 4096] {
        take(size, usize::MAX);
    }
    let value = vec![0x5a_u8; 15 << 10];
    for (kind, length) in [("tree", 15 << 10), ("rest", 900), ("last", 40)] {
        for number in 0.. {
            let path = directory.join(format!("{kind}-{number}"));
            let made =
                File::create(&path).and_then(|_| xattr::set(&path, "user.fill", &value[..length]));
            if made.is_err() {
                break;
            }
        }
        sync(directory);
    }
}

/// Frees the pieces from one level to the next; at the last level, everything.
fn free(directory: &Path, from: usize, to: usize) {
    if to == usize::MAX {
        fs::remove_dir_all(directory).unwrap();
    } else {
        for number in from..to {
            for kind in ["data", "tree"] {
                // There may be fewer.
                let _ = fs::remove_file(directory.join(format!("{kind}-{number}")));
            }
        }
    }
    sync(directory.parent().unwrap());
}

/// Ends the filesystem's transaction, which is when space comes back; full as it is, it may say so.
fn sync(directory: &Path) {
    let _ = Command::new("btrfs")
        .args(["filesystem", "sync"])
        .arg(directory)
        .output();
}
