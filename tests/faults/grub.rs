//! Power cut anywhere on a machine that is its own node: what GRUB reads on its disk is the old state or the new.
//!
//! GRUB reads what is committed, and never the log of the filesystem, in which the kernel finds what was made durable since.
//! A command stands still after each system call that may have changed something; there GRUB's own driver reads the disk as it
//! is at that moment, in two ways: with nothing but what the command committed itself, and with a commit before each look, as
//! the kernel makes one whenever it likes. Not for what the kernel finds after a power cut: `power.rs`.
//!
//! One point again: `NETBE_FAULT=grub:activate:37 cargo test --test faults grub`; without the number, all points of that
//! command.

mod story;
pub(crate) mod view;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use crate::asked::Choice;
use crate::disk::{Disk, commit};
use crate::judge::Faults;
use crate::power::stops::{self, Stop};
use crate::report::figures;
use crate::support::Machine;
use story::Scene;
use view::{Known, View};

/// What was tried, and what it found.
#[derive(Debug, Default)]
struct Tally {
    looks: usize,
    faults: Faults,
}

/// Whether the filesystem commits by itself, right before each look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsItIs,
    Committed,
}

#[test]
fn invariants_1_2_7_and_9_hold_as_grub_reads_the_disk_after_every_power_cut() {
    let names: Vec<&str> = story::SCENES.iter().map(|scene| scene.name).collect();
    let Some(choice) = &Choice::of("grub", &names) else {
        return;
    };
    let told = thread::scope(|scope| {
        [Way::AsItIs, Way::Committed]
            .map(|way| scope.spawn(move || run_story(way, choice)))
            .map(|told| told.join().unwrap())
    });
    let looks: usize = told.iter().map(|tally| tally.looks).sum();
    let faults: Faults = told.into_iter().flat_map(|tally| tally.faults).collect();
    figures(&format!(
        "grub: {looks} states of the disk, {} faults",
        faults.len()
    ));
    assert!(looks > 0, "there is no such point");
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Has a machine do one command after another, and looks at those that are chosen.
fn run_story(way: Way, choice: &Choice) -> Tally {
    let machine = story::machine();
    let mut tally = Tally::default();
    for scene in story::SCENES {
        if let Some(root) = scene.boots {
            machine.boot(root);
        }
        for line in scene.before {
            machine.ok(line);
        }
        if choice.has(scene.name) {
            Cutting {
                machine: &machine,
                scene,
                way,
            }
            .cut(choice, &mut tally);
        } else {
            machine.ok(&format!("netbe {}", scene.line));
        }
    }
    tally
}

/// One command, and the machine that does it.
#[derive(Debug)]
struct Cutting<'a> {
    machine: &'a Machine,
    scene: &'a Scene,
    way: Way,
}

impl Cutting<'_> {
    fn cut(&self, choice: &Choice, tally: &mut Tally) {
        let Self {
            machine,
            scene,
            way,
        } = *self;
        commit(machine.disk.path());
        let known = view::known(machine);
        let before = View::of_grub(machine, &known);
        let mut seen: Vec<(Stop, View)> = Vec::new();
        let (mut state, mut shown) = (self.state(), self.shown());
        let words: Vec<&str> = ["netbe"].into_iter().chain(scene.line.split(' ')).collect();
        let output = stops::run(
            &machine.command(&words),
            machine.disk.beside(),
            &mut |stop| {
                let wanted = match (choice.number, way) {
                    (Some(number), _) => stop.number == number,
                    (None, Way::AsItIs) => true,
                    (None, Way::Committed) => {
                        let now = self.shown();
                        choice.full || std::mem::replace(&mut shown, now.clone()) != now
                    }
                };
                if !wanted {
                    return;
                }
                if way == Way::Committed {
                    commit(machine.disk.path());
                    let partition = fs::File::open(machine.root.join("boot/efi")).unwrap();
                    nix::unistd::syncfs(partition).unwrap();
                }
                if std::mem::replace(&mut state, self.state()) != state {
                    seen.push((*stop, self.look(&known)));
                }
            },
        );
        let after = View::of_grub(machine, &known);
        let live = View::of_kernel(machine, &known);
        tally.looks += seen.len() + 1;
        let name = scene.name;
        let mut faults = Faults::new();
        if output.status != 0 {
            faults.push(format!("it ended so: {output:#?}"));
        }
        faults.extend(after.between(&before, &live, scene.order));
        faults.extend(after.after(&live));
        let here = |fault| format!("grub:{name} ({way:?}, after its end): {fault}");
        tally.faults.extend(faults.into_iter().map(here));
        for (stop, view) in seen {
            let here = |fault| {
                let Stop { number, call, .. } = stop;
                format!("grub:{name}:{number} ({way:?}, after {call}): {fault}")
            };
            let faults = view.between(&before, &live, scene.order);
            tally.faults.extend(faults.into_iter().map(here));
        }
    }

    /// Returns what tells one state of the disks from another.
    fn state(&self) -> (Vec<u8>, SystemTime) {
        let partition = self.machine.partition().metadata().unwrap();
        let superblock = Disk::new(self.machine.image()).superblock();
        (superblock, partition.modified().unwrap())
    }

    /// Returns what GRUB reads, all of it at one state of the disks.
    fn look(&self, known: &Known) -> View {
        loop {
            let state = self.state();
            let view = View::of_grub(self.machine, known);
            if state == self.state() {
                return view;
            }
        }
    }

    /// Returns the files that GRUB would find, if all were committed, and how long they are: in the short form, the command
    /// is cut where this changes.
    fn shown(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let nog = view::live(self.machine, "/netbe/nodes/nog");
        let mut add = |path: &Path| {
            if let Ok(of) = path.symlink_metadata() {
                found.insert(format!("{path:?} {:?} {:?}", of.len(), of.modified()));
            }
        };
        add(&nog.join("active"));
        for file in ["/@/boot/grub/grub.cfg", "/netbe/environments.cfg"] {
            add(&view::live(self.machine, file));
        }
        add(&self.machine.root.join("boot/efi/grub/netbe.env"));
        for env in fs::read_dir(nog.join("envs")).into_iter().flatten() {
            let boot = env.unwrap().path().join("boot");
            let files = ["", "grub"].map(|dir| fs::read_dir(boot.join(dir)));
            let files = files.into_iter().flatten().flatten().flatten();
            files.for_each(|file| add(&file.path()));
        }
        found
    }
}
