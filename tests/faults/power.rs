//! Power cut anywhere: what is on the disk at a moment is, after the next mount, the old state or the new.
//!
//! A command stands still after each system call that may have changed something; there the file behind the pool is
//! copied, and the copy mounted and judged. Each command is cut in two ways: as it is, where only what it made
//! durable itself is on the disk, and with a commit of the filesystem before each cut, as the kernel makes one
//! whenever it likes. Not for disks that lie about what they have written.
//!
//! One point again: `NETBE_FAULT=power:activate:37 cargo test --test faults power`; without the number, all points
//! of that command. A fault names its point that way.

mod stops;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use crate::copies::{Ground, Place};
use crate::disk::{Disk, commit, unmount};
use crate::judge::{self, Faults, Judge};
use crate::scenes::{self, Scene};
use crate::support::{Fingerprint, MAC, TFTP_NAME, seclude};
use stops::Stop;

/// How large the pool is, in bytes; the file behind it is copied hundreds of times.
const SIZE: u64 = 320 << 20;

/// How many cuts each command gets in the short form in each way, beside that after its end.
const SPREAD: usize = 2;

/// What is to be tried.
#[derive(Debug, Clone)]
struct Choice {
    full: bool,
    scene: Option<String>,
    number: Option<usize>,
}

impl Choice {
    fn asked() -> Self {
        let fault = std::env::var("NETBE_FAULT").unwrap_or_default();
        let mut words = fault.split(':').skip(1).map(str::to_string);
        Self {
            full: std::env::var("NETBE_FAULTS").is_ok_and(|form| form == "full"),
            scene: words.next(),
            number: words.next().and_then(|word| word.parse().ok()),
        }
    }
}

/// What was tried, and what it found.
#[derive(Debug, Default)]
struct Tally {
    points: usize,
    states: usize,
    faults: Faults,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.states += other.states;
        self.faults.extend(other.faults);
    }
}

#[test]
fn power() {
    if std::env::var("NETBE_FAULT").is_ok_and(|fault| !fault.starts_with("power")) {
        return;
    }
    let choice = Choice::asked();
    let waiting = Mutex::new(scenes::all());
    let tally = Mutex::new(Tally::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (choice, waiting, tally) = (&choice, &waiting, &tally);
            scope.spawn(move || {
                // Its own: netbe finds by their paths what this process has open.
                let ground = Ground::new(SIZE);
                let place = ground.place();
                while let Some(scene) = { waiting.lock().unwrap().pop() } {
                    if choice.scene.as_ref().is_some_and(|name| name != scene.name) {
                        continue;
                    }
                    let start = place.prepared(&scene);
                    let cutting = Cutting {
                        place: &place,
                        scene: &scene,
                        start,
                    };
                    let found = cutting.cut(choice);
                    tally.lock().unwrap().add(found);
                }
                place.leave();
            });
        }
    });
    let Tally {
        points,
        states,
        faults,
    } = tally.into_inner().unwrap();
    println!(
        "power: {points} points, {states} states of the disk, {} faults",
        faults.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// When the filesystem commits by itself, and where the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Never, and everywhere.
    AsItIs,
    /// Right before each cut.
    Committed,
}

/// Where a spread of a command's points is taken.
#[derive(Debug, Default)]
struct Points {
    /// After the calls that decide what a power cut leaves.
    decisive: Vec<usize>,
    /// After those by which something came to the disk.
    durable: Vec<usize>,
}

/// One command, and the disk it finds.
#[derive(Debug)]
struct Cutting<'a> {
    place: &'a Place<'a>,
    scene: &'a Scene,
    start: Disk,
}

impl Cutting<'_> {
    /// Tries all of its points, or a spread of them.
    fn cut(&self, choice: &Choice) -> Tally {
        let (judge, shape, points) = self.rehearsed();
        let mut tally = Tally::default();
        for way in [Way::AsItIs, Way::Committed] {
            let few = spread(match way {
                Way::AsItIs => &points.durable,
                Way::Committed => &points.decisive,
            });
            let wanted = |stop: &Stop| match choice.number {
                Some(number) => stop.number == number,
                None => choice.full || few.contains(&stop.number),
            };
            let trial = Trial {
                cutting: self,
                way,
                judge: &judge,
                shape: &shape,
            };
            tally.add(trial.run(&wanted, choice.number.is_none()));
        }
        tally
    }

    /// Runs it uncut; returns who judges the others, how what it makes looks, and where it decides.
    fn rehearsed(&self) -> (Judge, Shape, Points) {
        let (place, scene) = (self.place, self.scene);
        let netbe = place.netbe();
        let mut disk = place.mount(&self.start);
        let mut judge = Judge::new(&netbe, place.at(), scene.touched);
        for lines in scene.between {
            for line in *lines {
                place.does(line);
            }
            judge.allow();
            unmount(place.at());
            disk = place.mount(&self.start);
        }
        let mut points = Points::default();
        let mut seen = disk.superblock();
        let said = stops::run(&netbe, &place.line(scene), &place.files, &mut |stop| {
            if stop.is_decisive() {
                points.decisive.push(stop.number);
            }
            let block = disk.superblock();
            if block != seen {
                seen = block;
                points.durable.push(stop.number);
            }
        });
        assert_eq!(said.status, 0, "{}: {said:#?}", scene.name);
        judge.allow();
        let shape = Shape::of(place.at());
        unmount(place.at());
        (judge, shape, points)
    }
}

/// Returns a few of many, at even distance, the last among them.
fn spread(numbers: &[usize]) -> Vec<usize> {
    (1..=SPREAD)
        .filter_map(|part| (numbers.len() * part / SPREAD).checked_sub(1))
        .map(|index| numbers[index])
        .collect()
}

/// One command, cut in one way.
#[derive(Debug)]
struct Trial<'a> {
    cutting: &'a Cutting<'a>,
    way: Way,
    judge: &'a Judge,
    shape: &'a Shape,
}

impl Trial<'_> {
    /// Runs it, cuts it where `wanted`, and, where asked to, after its end.
    fn run(&self, wanted: &dyn Fn(&Stop) -> bool, end: bool) -> Tally {
        let Cutting {
            place,
            scene,
            start,
        } = self.cutting;
        let disk = place.mount(start);
        let mut tally = Tally::default();
        let mut seen = disk.superblock();
        let (netbe, line) = (place.netbe(), place.line(scene));
        let said = stops::run(&netbe, &line, &place.files, &mut |stop| {
            if !wanted(stop) {
                return;
            }
            tally.points += 1;
            if self.way == Way::Committed {
                commit(place.at());
            }
            let block = disk.superblock();
            if block != seen {
                seen = block;
                tally.states += 1;
                let faults = self.look(&disk, None, stop.process);
                tally.faults.extend(self.named(stop, &faults));
            }
        });
        if said.status != 0 {
            tally.faults.push(format!(
                "power:{} ended so: {said:#?}",
                self.cutting.scene.name
            ));
        } else if end {
            tally.points += 1;
            tally.states += 1;
            let live = durable(place.at());
            let faults = self.look(&disk, Some(&live), 0);
            let what = format!(
                "power:{} ({:?}, after its end)",
                self.cutting.scene.name, self.way
            );
            tally
                .faults
                .extend(faults.iter().map(|fault| format!("{what}: {fault}")));
        }
        unmount(place.at());
        tally
    }

    fn named(&self, stop: &Stop, faults: &[String]) -> Faults {
        let (name, number, call) = (self.cutting.scene.name, stop.number, stop.call);
        let what = format!("power:{name}:{number} ({:?}, after {call})", self.way);
        faults
            .iter()
            .map(|fault| format!("{what}: {fault}"))
            .collect()
    }

    /// Copies the disk, and judges the copy where nothing of the running command is seen.
    fn look(&self, disk: &Disk, live: Option<&Fingerprint>, process: i32) -> Faults {
        let copy = disk.copy(&self.cutting.place.files.join("cut"));
        let at = self.cutting.place.at();
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                seclude();
                if let Err(why) = copy.mount(at) {
                    return vec![format!("it cannot be mounted: {why}")];
                }
                let mut faults = self.judged(at, live);
                faults.retain(|fault| !is_of_the_living(fault, process));
                unmount(at);
                faults
            });
            looking
                .join()
                .unwrap_or_else(|_| vec!["the judge panicked".to_string()])
        })
    }

    fn judged(&self, at: &Path, live: Option<&Fingerprint>) -> Faults {
        // First of all: what is written by looking and repairing was not there.
        let lost = live
            .map(|live| live.changes(&durable(at)))
            .unwrap_or_default();
        let (mut faults, which) = self.judge.standing();
        let views = self.judge.views();
        if live.is_some() && which.map(|which| &views[which]) != views.last() {
            faults.push("it was reported as done, and is not".to_string());
        }
        if !lost.is_empty() {
            faults.push(format!(
                "not durable when it was reported as done:\n{}",
                lost.join("\n")
            ));
        }
        faults.extend(self.shape.spoilt(at));
        faults.extend(names_lost(at));
        faults.extend(self.judge.repair());
        faults
    }
}

/// Returns whether a fault is only that repair left the file which the running command was about to rename: it knows
/// by the number of the process, which is dead after a power cut.
fn is_of_the_living(fault: &str, process: i32) -> bool {
    fault.starts_with("check --repair left")
        && fault
            .split('"')
            .skip(1)
            .step_by(2)
            .all(|path| path.ends_with(&format!(".{process}.new")))
}

/// Returns everything in a pool but its lock files, of which nothing needs to last.
fn durable(pool: &Path) -> Fingerprint {
    Fingerprint::of(pool).without(&[".locks"])
}

/// Returns the machines that have lost their TFTP name: they would be given the shared files of others.
fn names_lost(pool: &Path) -> Faults {
    let served = std::fs::read_to_string(pool.join("nodes/nog/node.json")).unwrap_or_default();
    let name = pool.join("tftp").join(TFTP_NAME);
    let lost = served.contains(MAC) && judge::environment_behind(pool, &name).is_none();
    lost.then(|| "the TFTP name of nog is gone".to_string())
        .into_iter()
        .collect()
}

/// Which files of environments have something in them, where a command was not cut.
#[derive(Debug)]
struct Shape(Vec<PathBuf>);

impl Shape {
    fn of(pool: &Path) -> Self {
        let mut found = Vec::new();
        for env in environments(pool) {
            full_files(&env, &mut found);
        }
        found.sort();
        Self(found)
    }

    /// Returns the files of environments that are there now, and are missing, empty or zeroes.
    fn spoilt(&self, pool: &Path) -> Faults {
        let envs = environments(pool);
        let mut now = Vec::new();
        envs.iter().for_each(|env| full_files(env, &mut now));
        now.sort();
        // What an environment was sent as comes and goes by itself, and as a whole.
        let is_there = |path: &Path| {
            let mut above = path.ancestors();
            above
                .find(|dir| dir.ends_with(".base"))
                .is_none_or(Path::exists)
        };
        let missing = |path: &&PathBuf| {
            envs.iter().any(|env| path.starts_with(env))
                && is_there(path)
                && now.binary_search(path).is_err()
        };
        self.0
            .iter()
            .filter(missing)
            .map(|path| format!("{} is missing or empty", path.display()))
            .collect()
    }
}

fn environments(pool: &Path) -> Vec<PathBuf> {
    let below = |dir: PathBuf| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let seen = |path: &PathBuf| {
        !path
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b".")
    };
    let nodes = below(pool.join("nodes")).filter(seen);
    nodes.flat_map(|node| below(node.join("envs"))).collect()
}

fn full_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            full_files(&path, found);
        } else if kind.is_file() && std::fs::read(&path).unwrap().iter().any(|byte| *byte != 0) {
            found.push(path);
        }
    }
}
