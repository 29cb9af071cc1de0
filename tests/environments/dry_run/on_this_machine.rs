//! `-n` on a machine that is its own node: what the commands change of its disk, and of the partition that its loader writes.

use std::fs;

use crate::support::{Fingerprint, Machine};

/// The command lines that are run here.
pub(super) const LINES: [&str; 4] = [
    "adopt nog --yes",
    "adopt --undo",
    "publish",
    "create --before-packages",
];

/// Runs one of [`LINES`] with `-n`, which changes nothing, and then for real; returns the steps, and what was answered.
fn told(machine: &Machine, line: &str) -> (Vec<String>, String) {
    assert!(LINES.contains(&line), "{line}");
    let state = || Fingerprint::of(machine.disk.path());
    let before = state();
    let planned = machine.ok(&format!("netbe {line} -n"));
    before.assert_unchanged(&state());
    let steps = planned.lines().filter(|line| line.starts_with("would "));
    let steps: Vec<String> = steps.map(String::from).collect();
    let done = machine.ok(&format!("netbe {line}"));
    let mut changes = before.changes(&state());
    // Who held them last.
    changes.retain(|change| !change.contains("/locks/"));
    assert_eq!(
        steps.is_empty(),
        changes.is_empty(),
        "{line}: {planned} {done} {changes:#?}"
    );
    (steps, done)
}

fn adopted() -> Machine {
    let machine = Machine::with_partition();
    told(&machine, "adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine
}

#[test]
fn publishing_names_the_boot_files_that_it_writes() {
    let machine = adopted();
    let (steps, _) = told(&machine, "publish");
    assert_eq!(steps, Vec::<String>::new());
    machine.ok("netbe set cmdline=netbe.new nog");
    let (steps, done) = told(&machine, "publish");
    let step = "write the boot files and fstab of nog/first as set";
    assert_eq!(
        steps,
        [
            format!("would {step}"),
            "would write the loader's entry of nog/first, if they change it".to_string()
        ]
    );
    assert!(done.contains(step), "{done}");
    let boot = "netbe/nodes/nog/envs/first/boot/grub/netbe.cfg";
    let text = fs::read_to_string(machine.disk.path().join(boot)).unwrap();
    assert!(text.contains(" netbe.new"), "{text}");
    // The menu is a sentence of its own.
    machine.ok("rm /run/netbe/local/environments.cfg");
    let (steps, _) = told(&machine, "publish");
    assert_eq!(
        steps,
        ["would write the menu of all environments /run/netbe/local/environments.cfg"]
    );
    machine.boot("@");
    told(&machine, "adopt --undo");
}

#[test]
fn the_copy_before_packages_names_what_is_pruned_for_it() {
    let machine = adopted();
    machine.ok("netbe set packages.before=on keep=2");
    let names = || -> Vec<String> {
        let list = machine.ok("netbe list -H");
        let name = |line: &str| line.split('\t').nth(1).map(String::from);
        list.lines().filter_map(name).collect()
    };
    let (steps, _) = told(&machine, "create --before-packages");
    assert!(
        !steps.iter().any(|step| step.contains("destroy")),
        "{steps:?}"
    );
    let before = names();
    assert_eq!(before.len(), 2);
    // Names are times, in seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (steps, _) = told(&machine, "create --before-packages");
    let now = names();
    let gone: Vec<&String> = before.iter().filter(|name| !now.contains(name)).collect();
    assert_eq!(gone.len(), 1, "{now:?}");
    let step = format!("would destroy nog/{}", gone[0]);
    assert_eq!(steps.last(), Some(&step), "{steps:?}");
}
