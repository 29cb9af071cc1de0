//! Adopting again, where it was interrupted, or where what mounts the pool is gone.

use std::fs;
use std::process::Command;

use crate::support::{Machine, run};

const UNIT: &str = "etc/systemd/system/run-netbe-local.mount";

impl Machine {
    /// Takes away what mounts the pool after a reboot, of the root that it runs.
    fn loses_unit(&self) {
        let units = self.root.join("etc/systemd/system");
        fs::remove_file(self.root.join(UNIT)).unwrap();
        let link = units.join("local-fs.target.wants/run-netbe-local.mount");
        fs::remove_file(link).unwrap();
    }
}

/// Returns the command of a hint.
fn hint(said: &str) -> &str {
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn invariant_1_an_unfinished_pool_is_made_anew_and_other_content_stays() {
    let machine = Machine::new();
    let place = machine.disk.path().join("netbe");
    let make = || {
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(&place));
    };
    make();
    fs::write(place.join("mine"), "data").unwrap();
    let refused = machine.fails(3, "netbe adopt nog --yes");
    assert!(refused.contains("is no pool of this machine"), "{refused}");
    assert!(
        hint(&refused).starts_with("mount -o subvolid=5 "),
        "{refused}"
    );
    fs::remove_file(place.join("mine")).unwrap();
    fs::create_dir_all(place.join("nodes/nog")).unwrap();
    machine.fails(3, "netbe adopt nog --yes");
    assert!(place.join("nodes/nog").exists());
    fs::remove_dir(place.join("nodes/nog")).unwrap();
    fs::create_dir_all(place.join("state/locks")).unwrap();
    machine.ok("netbe adopt nog --yes");
    machine.ok("netbe check");
}

#[test]
fn invariant_9_a_second_adoption_finishes_an_interrupted_one() {
    let machine = Machine::new();
    machine.ok("netbe adopt nog --yes");
    // Nothing mounts it.
    machine.loses_unit();
    let planned = machine.ok("netbe adopt -n");
    assert!(
        planned.contains("mounted at /run/netbe/local after each reboot"),
        "{planned}"
    );
    machine.boot("@");
    let planned = machine.ok("netbe adopt -n");
    assert!(
        planned.contains("mount the pool in the subvolume netbe"),
        "{planned}"
    );
    assert!(!planned.contains("snapshot"), "{planned}");
    let other = machine.fails(3, "netbe adopt kira --yes");
    assert!(other.contains("by the name nog"), "{other}");
    machine.ok("netbe adopt --yes");
    assert!(machine.root.join(UNIT).exists());
    assert!(machine.ok("netbe list -H").starts_with("nog\tfirst\tR\t"));

    // GRUB was not told.
    let menu = machine.root.join("boot/grub/grub.cfg");
    fs::write(&menu, "# not written yet\n").unwrap();
    machine.ok("netbe adopt --yes");
    assert!(fs::read_to_string(&menu).unwrap().contains("netbe-active"));
    let again = machine.fails(3, "netbe adopt --yes");
    assert!(again.contains("is a node already"), "{again}");

    // An environment whose unit is gone.
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.loses_unit();
    machine.boot("netbe/nodes/nog/envs/first/root");
    let lost = machine.fails(4, "netbe list");
    assert!(lost.contains("this machine's own is not mounted"), "{lost}");
    assert_eq!(hint(&lost), "netbe adopt");
    let menu = fs::read(machine.root.join("boot/grub/grub.cfg")).unwrap();
    let done = machine.ok("netbe adopt --yes");
    assert_eq!(done, "The pool of nog is mounted again.\n");
    assert!(machine.root.join(UNIT).exists());
    assert!(machine.ok("netbe list -H").starts_with("nog\tfirst\tNR\t"));
    assert_eq!(
        fs::read(machine.root.join("boot/grub/grub.cfg")).unwrap(),
        menu
    );
}
