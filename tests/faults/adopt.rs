//! Adopting a machine, killed and failing anywhere: it is whole or nothing, and what the machine booted before boots.
//!
//! After each, GRUB's configuration as GRUB reads it leads to what is there. After a kill, adopting again ends well: at once,
//! after a repair, or after a reboot. One point again: `NETBE_FAULT=killed:adopt:37 cargo test --test faults adopt`, and
//! `failing:adopt:37`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::disk::commit;
use crate::failing::{points_of, said, unsaid};
use crate::grub::view::{self, View};
use crate::judge::Faults;
use crate::points::{self, Point, TRIES, Tally, is_wanted, spread};
use crate::report::against;
use crate::support::{Machine, Outcome};
use crate::tracer::{Break, Call, Traced, trace_as};

/// How many points the short form tries.
const SHORT: usize = 10;

const LINE: &str = "netbe adopt nog --yes";

/// What is there once it is done, in the machine's root.
const MADE: [&str; 4] = [
    "etc/grub.d/06_netbe",
    "etc/kernel/postinst.d/zz-netbe",
    "etc/systemd/system/run-netbe-local.mount",
    "run/netbe/local/pool.json",
];

#[test]
fn invariants_1_7_and_9_hold_wherever_adopt_is_killed() {
    let all = |calls: &[Call]| {
        let point = |call| Point::new("killed", "adopt", call, Break::Kill);
        calls.iter().map(point).collect()
    };
    run("killed", all, |machine, point, _| {
        let orders: &[Order] = match (point.call.is_fresh, points::is_full()) {
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
                machine.put_back();
                traced(machine, Some((&point.call, point.how)));
            }
            faults.extend(boots(machine));
            let found = again(machine, *order);
            faults.extend(found.into_iter().map(|fault| format!("{order:?}: {fault}")));
        }
        faults
    });
}

#[test]
fn invariants_1_7_and_9_hold_whatever_fails_in_adopt() {
    let all = |calls: &[Call]| points_of("adopt", calls);
    run("failing", all, |machine, point, outcome| {
        let Break::Fail(errno) = point.how else {
            unreachable!("nothing else is done here")
        };
        let mut faults = said(outcome, errno);
        if let Some(what) = unsaid(outcome, errno) {
            faults.push(against(9, format!("its error does not say {what}")));
        }
        faults.extend(boots(machine));
        match outcome.status {
            0 => faults.extend(is_done(machine)),
            _ => faults.extend(is_nothing(machine)),
        }
        if !faults.is_empty() {
            faults.push(format!("it said {outcome:#?}"));
        }
        faults
    });
}

/// Breaks it at one point after another.
fn run(
    harness: &'static str,
    all: impl Fn(&[Call]) -> Vec<Point>,
    at: impl Fn(&Machine, &Point, &Outcome) -> Faults,
) {
    if !is_wanted(harness, "adopt") {
        return;
    }
    let (start, tally) = (Instant::now(), Tally::default());
    let machine = Machine::with_partition();
    machine.save();
    let whole = traced(&machine, None);
    assert_eq!(whole.outcome.status, 0, "{whole:#?}");
    let faults = is_done(&machine);
    assert!(faults.is_empty(), "{faults:#?}");
    for point in spread(all(&whole.calls), SHORT) {
        let broken = (0..TRIES).map(|_| {
            machine.put_back();
            traced(&machine, Some((&point.call, point.how)))
        });
        match broken.into_iter().find(|broken| broken.is_hit) {
            Some(broken) => {
                let faults = at(&machine, &point, &broken.outcome);
                tally.tried(&point, &faults);
            }
            None => tally.missed(&point),
        }
    }
    tally.close(&format!("{harness}, adopt"), start);
}

fn traced(machine: &Machine, at: Option<(&Call, Break)>) -> Traced {
    let words: Vec<&str> = LINE.split(' ').collect();
    trace_as(Path::new("/usr/bin/netbe"), &machine.command(&words), at)
}

/// What is done after a kill.
#[derive(Debug, Clone, Copy)]
enum Order {
    Again,
    Repair,
    Reboot,
}

/// Adopts it again, and judges what there is then.
fn again(machine: &Machine, order: Order) -> Faults {
    match order {
        Order::Again => {}
        Order::Repair => drop(machine.run("netbe check --repair")),
        Order::Reboot => machine.boot("@"),
    }
    let mut faults = Faults::new();
    let again = machine.run(LINE);
    let is_there = again.status == 3 && again.stderr.contains("is a node already");
    if again.status != 0 && !is_there {
        faults.push(against(
            9,
            format!("it cannot be adopted again: {again:#?}"),
        ));
        return faults;
    }
    // What it left is hidden.
    machine.run("netbe check --repair");
    faults.extend(boots(machine));
    faults.extend(is_done(machine));
    faults
}

/// Returns the faults of what GRUB boots, were the machine restarted.
fn boots(machine: &Machine) -> Faults {
    commit(machine.disk.path());
    let mut faults = Faults::new();
    let known = view::known(machine);
    let configuration = machine.grub_finds("/@/boot/grub/grub.cfg");
    let configuration = configuration.unwrap_or_default();
    let text = String::from_utf8_lossy(&configuration);
    let is_old = text == "# not written yet\n";
    if !is_old && !text.ends_with("### END /etc/grub.d/06_netbe ###\n") {
        faults.push(against(9, format!("GRUB's configuration is {text:?}")));
    }
    let view = View::of_grub(machine, &known);
    faults.extend(view.between(&view, &view));
    faults
}

/// Returns why it is not adopted.
fn is_done(machine: &Machine) -> Faults {
    let mut faults = Faults::new();
    for made in MADE {
        if !machine.root.join(made).exists() {
            faults.push(against(9, format!("{made} is not there")));
        }
    }
    let menu = machine
        .grub_finds("/@/boot/grub/grub.cfg")
        .unwrap_or_default();
    if !String::from_utf8_lossy(&menu).contains("--id netbe-active") {
        faults.push(against(9, "GRUB's configuration does not have it"));
    }
    let view = View::of_grub(machine, &view::known(machine));
    if !view.has_active() || view.names() != ["first"] {
        faults.push(against(9, format!("GRUB finds {view:?}")));
    }
    let check = machine.run("netbe check");
    if check.status != 0 {
        faults.push(against(9, format!("{check:#?}")));
    }
    faults
}

/// Returns what it has left.
fn is_nothing(machine: &Machine) -> Faults {
    let mut left: Vec<String> = MADE.map(String::from).to_vec();
    left.push("boot/grub/grub.cfg.netbe".to_string());
    left.retain(|made| machine.root.join(made).symlink_metadata().is_ok());
    let names = fs::read_dir(machine.disk.path()).unwrap();
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    left.extend(names.filter(|name| !["@", "@home"].contains(&name.as_str())));
    let mounts = Command::new("findmnt")
        .arg("-n")
        .arg(machine.root.join("run/netbe/local"))
        .output()
        .unwrap();
    if mounts.status.success() {
        left.push("a mount".to_string());
    }
    match left.is_empty() {
        true => Faults::new(),
        false => vec![against(9, format!("it has failed, and has left {left:?}"))],
    }
}
