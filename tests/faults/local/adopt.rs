//! The files that an interrupted `adopt` leaves on a machine: all or none.

use std::fs;
use std::process::Command;

use crate::grub::view::{self, View};
use crate::judge::Faults;
use crate::report::against;
use crate::support::Machine;

/// What is there once it is done, in the machine's root.
const MADE: [&str; 4] = [
    "etc/grub.d/06_netbe",
    "etc/kernel/postinst.d/zz-netbe",
    "etc/systemd/system/run-netbe-local.mount",
    "run/netbe/local/pool.json",
];

/// Returns why it is not adopted.
pub(super) fn is_done(machine: &Machine) -> Faults {
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
pub(super) fn is_nothing(machine: &Machine) -> Faults {
    let mut left: Vec<String> = MADE.map(String::from).to_vec();
    left.push("boot/grub/grub.cfg.netbe".to_string());
    left.retain(|made| machine.root.join(made).symlink_metadata().is_ok());
    let names = fs::read_dir(machine.disk.path()).unwrap();
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    left.extend(names.filter(|name| !["@", "@home"].contains(&name.as_str())));
    if machine.sectors(8).iter().any(|byte| *byte != 0) {
        left.push("the sector on btrfs".to_string());
    }
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
