//! One command, cut in one way: what the copies of the disk show.

use std::path::Path;
use std::thread;

use super::shape::Shape;
use super::stops::{self, Stop};
use super::{Cutting, Tally, Way};
use crate::disk::{Disks, STATES, commit};
use crate::judge::{self, Faults, Judge};
use crate::report::against;
use crate::support::{Fingerprint, MAC, TFTP_NAME, seclude, state_of};

/// One command, cut in one way.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) cutting: &'a Cutting<'a>,
    pub(super) way: Way,
    pub(super) judge: &'a Judge,
    pub(super) shape: &'a Shape,
}

impl Trial<'_> {
    /// Runs it, cuts it where `wanted`, and, where asked to, after its end.
    pub(super) fn run(&self, wanted: &dyn Fn(&Stop) -> bool, end: bool) -> Tally {
        let Cutting {
            place,
            scene,
            start,
        } = self.cutting;
        let disks = place.mount(start);
        let mut tally = Tally::default();
        let mut seen = disks.superblocks();
        let command = place.command(scene);
        let output = stops::run(&command, &place.files, &mut |stop| {
            if !wanted(stop) {
                return;
            }
            tally.points += 1;
            match self.way {
                Way::AsItIs => {}
                Way::Pool => commit(place.at()),
                Way::Server => commit(Path::new(STATES)),
            }
            let blocks = disks.superblocks();
            if blocks != seen {
                seen = blocks;
                tally.states += 1;
                let faults = self.look(&disks, None, stop.process);
                tally.faults.extend(self.named(stop, &faults));
            }
        });
        if output.status != 0 {
            tally.faults.push(format!(
                "power:{} ended so: {output:#?}",
                self.cutting.scene.name
            ));
        } else if end {
            tally.points += 1;
            tally.states += 1;
            let live = durable(place.at());
            let faults = self.look(&disks, Some(&live), 0);
            let what = format!(
                "power:{} ({:?}, after its end)",
                self.cutting.scene.name, self.way
            );
            tally
                .faults
                .extend(faults.iter().map(|fault| format!("{what}: {fault}")));
        }
        place.unmount();
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

    /// Copies the disks, and judges the copy where nothing of the running command is seen.
    fn look(&self, disks: &Disks, live: Option<&Fingerprint>, process: i32) -> Faults {
        let copy = disks.copy(&self.cutting.place.files.join("cut"));
        let at = self.cutting.place.at();
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                seclude();
                if let Err(why) = copy.mount(at) {
                    return vec![against(9, format!("it cannot be mounted: {why}"))];
                }
                let mut faults = self.judged(at, live);
                faults.retain(|fault| !is_of_the_living(fault, process));
                Disks::unmount(at);
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
        if live.is_some() && which.and_then(|which| views.get(which)) != views.last() {
            faults.push(against(9, "it was reported as done, and is not"));
        }
        if !lost.is_empty() {
            let what = format!(
                "not durable when it was reported as done:\n{}",
                lost.join("\n")
            );
            faults.push(against(2, what));
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
    fault.contains("check --repair left")
        && fault
            .split('"')
            .skip(1)
            .step_by(2)
            .all(|path| path.contains(&format!(".{process}-")) && path.ends_with(".new"))
}

/// Returns everything in a pool and its state directory that has to last: not the lock files, nor the copies of records
/// that another server could take over, which a repair writes again.
fn durable(pool: &Path) -> Fingerprint {
    let state = state_of(pool);
    let nodes = std::fs::read_dir(pool.join("nodes")).into_iter().flatten();
    let nodes = nodes.flatten().map(|node| node.file_name());
    let mut copies: Vec<String> = nodes
        .flat_map(|node| {
            let node = node.to_string_lossy().into_owned();
            ["node.json", ".node.json."].map(|copy| format!("nodes/{node}/{copy}"))
        })
        .collect();
    copies.extend(["pool.json", ".pool.json."].map(str::to_string));
    let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
    let state = Fingerprint::of(&state).without(&["locks"]);
    Fingerprint::of(pool).without(&copies).with("STATE", state)
}

/// Returns the machines that have lost their TFTP name: they would be given the shared files of others.
fn names_lost(pool: &Path) -> Faults {
    let served =
        std::fs::read_to_string(state_of(pool).join("nodes/nog/node.json")).unwrap_or_default();
    let name = pool.join("tftp").join(TFTP_NAME);
    let lost = served.contains(MAC) && judge::environment_behind(pool, &name).is_none();
    lost.then(|| against(3, "the TFTP name of nog is gone"))
        .into_iter()
        .collect()
}
