//! Commands on a machine that is its own node, killed and failing anywhere: what boots it is the old state or the new.
//!
//! After each, what GRUB reads leads to what is there, and what it boots once is what netbe knows of. After a kill, the same
//! command again ends well: at once, after a repair, or after a reboot. One point again:
//! `NETBE_FAULT=killed:adopt:37 cargo test --test faults local`, and `failing:local-once:37`. Not for pools of other machines:
//! `killed.rs`, `failing.rs`.

mod adopt;
mod scenes;

use std::path::Path;
use std::time::Instant;

use crate::asked;
use crate::disk::commit;
use crate::failing::{judge_ending, missing_from_error, points_of};
use crate::grub::view::{self, View};
use crate::judge::Faults;
use crate::points::{self, Point, TRIES, Tally, is_wanted, spread};
use crate::report::against;
use crate::support::{Machine, Outcome};
use crate::tracer::{Break, Call, Traced, trace_as};
use scenes::{SCENES, Scene};

#[test]
fn invariants_1_2_3_7_and_9_hold_on_its_own_disk_wherever_it_is_killed() {
    let all = |name, calls: &[Call]| {
        let point = |call| Point::new("killed", name, call, Break::Kill);
        calls.iter().map(point).collect()
    };
    run("killed", all, |broken, point, _| {
        let orders: &[Order] = match (point.call.is_fresh, asked::is_full()) {
            (false, _) => &[],
            (true, true) => &[Order::Again, Order::Repair, Order::Reboot],
            (true, false) => match point.call.number % 3 {
                0 => &[Order::Again],
                1 => &[Order::Repair],
                _ => &[Order::Reboot],
            },
        };
        let mut faults = Faults::new();
        for (number, order) in orders.iter().enumerate() {
            if number > 0 {
                broken.put_back();
                broken.trace(Some((&point.call, point.how)));
            }
            faults.extend(broken.boots());
            let found = broken.again(*order);
            faults.extend(found.into_iter().map(|fault| format!("{order:?}: {fault}")));
        }
        faults
    });
}

#[test]
fn invariants_1_2_3_7_and_9_hold_on_its_own_disk_whatever_fails() {
    run("failing", points_of, |broken, point, outcome| {
        let Break::Fail(errno) = point.how else {
            unreachable!("nothing else is done here")
        };
        let mut faults = judge_ending(outcome, errno);
        if let Some(what) = missing_from_error(outcome, errno) {
            faults.push(against(9, format!("its error does not say {what}")));
        }
        faults.extend(broken.boots());
        faults.extend(match outcome.status {
            0 => broken.is_done(),
            _ if broken.scene.adopts() => adopt::is_nothing(&broken.machine),
            _ => broken.settles(),
        });
        if !faults.is_empty() {
            faults.push(format!("it said {outcome:#?}"));
        }
        faults
    });
}

/// Returns whether there is such a command.
pub(crate) fn has(name: &str) -> bool {
    SCENES.iter().any(|scene| scene.name == name)
}

/// Breaks each command at one point after another.
fn run(
    harness: &'static str,
    all: impl Fn(&'static str, &[Call]) -> Vec<Point>,
    at: impl Fn(&Broken, &Point, &Outcome) -> Faults,
) {
    let mut scenes = SCENES.iter().filter(|scene| is_wanted(harness, scene.name));
    let (start, tally) = (Instant::now(), Tally::default());
    points::refuse_unknown(harness);
    let Some(first) = scenes.next() else { return };
    for scene in [first].into_iter().chain(scenes) {
        let broken = Broken::new(scene);
        // As it is before each of the others.
        broken.put_back();
        let whole = broken.trace(None);
        assert_eq!(whole.outcome.status, 0, "{whole:#?}");
        let broken = Broken {
            new: broken.view(),
            ..broken
        };
        let faults = broken.is_done();
        assert!(faults.is_empty(), "{}: {faults:#?}", scene.name);
        for point in spread(all(scene.name, &whole.calls), scene.short) {
            let runs = (0..TRIES).map(|_| {
                broken.put_back();
                broken.trace(Some((&point.call, point.how)))
            });
            match runs.into_iter().find(|run| run.is_hit) {
                Some(run) => {
                    let faults = at(&broken, &point, &run.outcome);
                    tally.tried(&point, &faults);
                }
                None => tally.missed(&point),
            }
        }
    }
    tally.close(&format!("{harness}, on its own disk"), start);
}

/// What is done after a kill.
#[derive(Debug, Clone, Copy)]
enum Order {
    Again,
    Repair,
    Reboot,
}

/// A command, and the machine that it is broken on.
#[derive(Debug)]
struct Broken {
    scene: &'static Scene,
    machine: Machine,
    old: View,
    new: View,
}

impl Broken {
    fn new(scene: &'static Scene) -> Self {
        let machine = match scene.on_btrfs {
            true => Machine::with_new_grub(),
            false => Machine::with_partition(),
        };
        if !scene.adopts() {
            machine.ok("netbe adopt nog --yes");
        }
        machine.boot(scene.boots);
        for line in scene.before {
            machine.ok(line);
        }
        machine.save();
        let old = View::of_grub(&machine, &view::known(&machine));
        Self {
            scene,
            machine,
            new: old.clone(),
            old,
        }
    }

    fn put_back(&self) {
        self.machine.put_back(self.scene.boots);
    }

    fn trace(&self, at: Option<(&Call, Break)>) -> Traced {
        let words: Vec<&str> = self.scene.line.split(' ').collect();
        trace_as(
            Path::new("/usr/bin/netbe"),
            &self.machine.command(&words),
            at,
        )
    }

    /// Returns what GRUB finds, were the machine restarted.
    fn view(&self) -> View {
        commit(self.machine.disk.path());
        View::of_grub(&self.machine, &view::known(&self.machine))
    }

    /// Returns the faults of what GRUB boots, were the machine restarted, and of what netbe knows of that.
    fn boots(&self) -> Faults {
        let view = self.view();
        let mut faults = view.between(&self.old, &self.new, self.scene.order);
        if let Some(env) = view.once()
            && !self.is_pending(env)
        {
            faults.push(against(
                7,
                format!("GRUB boots {env} once, and netbe forgot it"),
            ));
        }
        faults
    }

    fn is_pending(&self, env: &str) -> bool {
        let list = self.machine.run("netbe list -H").stdout;
        let flags = |line: &str| {
            let flags = line.strip_prefix(&format!("nog\t{env}\t"))?;
            flags.split('\t').next().map(str::to_string)
        };
        let flags = list.lines().find_map(flags);
        flags.is_some_and(|flags| flags.contains('T') || flags.contains('N'))
    }

    /// Does it again, and judges what there is then.
    fn again(&self, order: Order) -> Faults {
        let mut faults = Faults::new();
        match order {
            Order::Again => {}
            Order::Repair if self.scene.adopts() => {
                self.machine.run("netbe check --repair");
            }
            Order::Repair => faults.extend(self.settles()),
            Order::Reboot => {
                self.machine.boot(self.scene.boots);
                self.machine.run("netbe reconcile");
                faults.extend(self.boots());
            }
        }
        let again = self.machine.run(self.scene.line);
        let is_there = again.status != 0
            && self
                .scene
                .done
                .iter()
                .any(|said| again.stderr.contains(said));
        if again.status != 0 && !is_there {
            faults.push(against(9, format!("it cannot be done again: {again:#?}")));
            return faults;
        }
        // What it left is hidden.
        self.machine.run("netbe check --repair");
        faults.extend(self.boots());
        faults.extend(self.is_done());
        faults
    }

    /// Returns what a repair leaves.
    fn settles(&self) -> Faults {
        self.machine.run("netbe check --repair");
        let mut faults = self.boots();
        let check = self.machine.run("netbe check");
        // Without its menu, it says so.
        if check.status != 0 && !self.scene.undoes() {
            faults.push(against(9, format!("{check:#?}")));
        }
        if self.is_pending("second") != self.view().once().is_some() {
            faults.push(against(9, "GRUB and netbe differ in what is booted once"));
        }
        faults
    }

    /// Returns why it is not done.
    fn is_done(&self) -> Faults {
        match self.scene.adopts() {
            true => adopt::is_done(&self.machine),
            false => self.view().after(&self.new),
        }
    }
}
