//! Power cut anywhere: what is on the disk at a moment is, after the next mount, the old state or the new.
//!
//! A command stands still after each system call that may have changed something; there the files behind the pool and
//! its state directory, which are on disks of their own, are copied, and the copies mounted and judged. Each command is
//! cut in several ways: as it is, where only what it made durable itself is on the disks, and with a commit of one
//! filesystem or the other before each cut, as the kernel makes one whenever it likes: what has to be on one disk
//! before something is on the other has to be made durable there. Not for disks that lie about what they have written.
//!
//! One point again: `NETBE_FAULT=power:activate:37 cargo test --test faults power`; without the number, all points
//! of that command. A fault names its point that way.

mod shape;
pub(crate) mod stops;
mod trial;

use std::sync::Mutex;
use std::thread;

use crate::asked::Choice;
use crate::copies::{Ground, Place};
use crate::disk::Disks;
use crate::judge::{Faults, Judge};
use crate::report::figures;
use crate::scenes::{self, Scene};
use shape::Shape;
use stops::Stop;
use trial::Trial;

/// How large the pool is, in bytes; the file behind it is copied hundreds of times.
const SIZE: u64 = 320 << 20;

/// How many cuts each command gets in the short form in each way, beside that after its end.
const SPREAD: usize = 1;

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
fn invariants_1_to_4_9_and_10_hold_wherever_the_power_is_cut() {
    let scenes = scenes::all();
    let names: Vec<&str> = scenes.iter().map(|scene| scene.name).collect();
    let Some(choice) = Choice::of("power", &names) else {
        return;
    };
    let waiting = Mutex::new(scenes);
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
                    if !choice.has(scene.name) {
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
    figures(&format!(
        "power: {points} points, {states} states of the disk, {} faults",
        faults.len()
    ));
    assert!(points > 0, "power: there is no such point");
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Which filesystem commits by itself, right before each cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Neither.
    AsItIs,
    /// The pool's.
    Pool,
    /// That of the state directory.
    Server,
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
    start: Disks,
}

impl Cutting<'_> {
    /// Tries all of its points, or a spread of them.
    fn cut(&self, choice: &Choice) -> Tally {
        let (judge, shape, points) = self.rehearsed();
        let mut tally = Tally::default();
        for way in [Way::AsItIs, Way::Pool, Way::Server] {
            let few = spread(match way {
                Way::AsItIs => &points.durable,
                Way::Pool | Way::Server => &points.decisive,
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
        let mut disks = place.mount(&self.start);
        let mut judge = Judge::new(&netbe, place.at(), scene.touched, scene.steps);
        for lines in scene.between {
            for line in *lines {
                place.does(line);
            }
            judge.allow();
            place.unmount();
            disks = place.mount(&self.start);
        }
        let mut points = Points::default();
        let mut seen = disks.superblocks();
        let command = place.command(scene);
        let output = stops::run(&command, &place.files, &mut |stop| {
            if stop.is_decisive() {
                points.decisive.push(stop.number);
            }
            let blocks = disks.superblocks();
            if blocks != seen {
                seen = blocks;
                points.durable.push(stop.number);
            }
        });
        assert_eq!(output.status, 0, "{}: {output:#?}", scene.name);
        judge.allow();
        let shape = Shape::of(place.at());
        place.unmount();
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
