//! A boot for once and on trial of a machine that is its own node: GRUB forgets it before it boots, in a file that it can write.
//!
//! GRUB's own program changes the file here, as GRUB would.

use std::fs;
use std::process::Command;

use crate::support::{Machine, run};

const BLOCK: &str = "boot/efi/grub/netbe.env";

/// Adopts a machine, which says that it uses this place, and has it run its environment beside another one.
fn adopted(machine: Machine, place: &str) -> Machine {
    let planned = machine.ok("netbe adopt nog -n");
    let place = format!("keep what it boots for once in {place}");
    assert!(planned.contains(&place), "{planned}");
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe create nog/second");
    machine
}

fn machine() -> Machine {
    adopted(Machine::with_partition(), "grub/netbe.env on UUID=")
}

/// One whose GRUB has nothing but btrfs.
pub(super) fn on_btrfs() -> Machine {
    adopted(
        Machine::with_new_grub(),
        "the sector at 256 KiB of the btrfs UUID=",
    )
}

impl Machine {
    /// Has GRUB's own program work on the block; returns what it says.
    pub(super) fn edit_block(&self, words: &[&str]) -> String {
        let copy = self.disk.beside().join("block");
        fs::write(&copy, self.block()).unwrap();
        let output = Command::new("grub-editenv")
            .arg(&copy)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        if words != ["list"] {
            self.set_block(&fs::read(copy).unwrap());
        }
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// Returns what GRUB boots next for once, by GRUB's own program.
    pub(super) fn once(&self) -> String {
        let output = self.edit_block(&["list"]);
        let line = output.lines().find(|line| line.starts_with("netbe_once="));
        line.unwrap_or_default().to_string()
    }

    /// Has it boot what GRUB would.
    pub(super) fn restart(&self) {
        let env = match self.once().strip_prefix("netbe_once=") {
            Some(env) if !env.is_empty() => {
                self.edit_block(&["set", "netbe_once="]);
                env.to_string()
            }
            _ => {
                let active = self.disk.path().join("netbe/nodes/nog/active");
                let led = fs::read_link(active).unwrap();
                led.file_name().unwrap().to_string_lossy().into_owned()
            }
        };
        self.boot(&format!("netbe/nodes/nog/envs/{env}/root"));
    }

    /// Says what the unit says once it has come up.
    pub(super) fn comes_up(&self) {
        let unit = self.root.join("etc/systemd/system/netbe-report.service");
        let text = fs::read_to_string(unit).unwrap();
        assert!(text.contains("boot-complete.target"), "{text}");
        self.ok("mkdir -p /run/netbe; : >/run/netbe/came-up");
        self.ok("netbe --pool /run/netbe/local reconcile --quiet");
    }

    pub(super) fn active(&self) -> String {
        let active = self.disk.path().join("netbe/nodes/nog/active");
        let led = fs::read_link(active).unwrap();
        led.file_name().unwrap().to_string_lossy().into_owned()
    }
}

#[test]
fn a_boot_for_once_is_forgotten_before_it_begins() {
    is_forgotten(&machine(), "($netbe_block)/grub/netbe.env");
}

#[test]
fn a_boot_for_once_is_forgotten_on_btrfs_before_it_begins() {
    is_forgotten(&on_btrfs(), "($netbe_block)512+1");
}

fn is_forgotten(machine: &Machine, block: &str) {
    let menu = machine.grub_reads("/@/boot/grub/grub.cfg");
    assert!(
        menu.contains(&format!("save_env -f \"{block}\" netbe_once")),
        "{menu}"
    );
    assert_eq!(machine.once(), "");
    machine.ok("netbe activate --once nog/second");
    assert_eq!(machine.once(), "netbe_once=second");
    assert!(machine.ok("netbe list -H").contains("nog\tsecond\tT\t"));
    // Nothing has happened yet.
    machine.ok("netbe reconcile");
    machine.ok("netbe publish");
    assert_eq!(machine.once(), "netbe_once=second");
    let output = machine.fails(3, "netbe destroy nog/second -y");
    assert!(output.contains("second"), "{output}");
    machine.ok("netbe activate --cancel nog");
    assert_eq!(machine.once(), "");
    machine.ok("netbe activate --once nog/second");
    machine.restart();
    assert!(machine.ok("netbe list -H").contains("nog\tsecond\tN"));
    // Whatever is done now, it is not asked for a second time.
    machine.ok("netbe publish");
    assert_eq!(machine.once(), "netbe_once=");
    machine.comes_up();
    assert_eq!(machine.active(), "first");
    machine.ok("netbe publish");
    machine.restart();
    assert!(machine.ok("netbe list -H").contains("nog\tfirst\tNR\t"));
    machine.comes_up();
    machine.ok("netbe destroy nog/second -y");
    machine.ok("netbe check");
}

#[test]
fn a_trial_that_comes_up_stays_and_one_that_does_not_is_left() {
    is_tried(&machine());
}

#[test]
fn a_trial_on_btrfs_that_comes_up_stays_and_one_that_does_not_is_left() {
    is_tried(&on_btrfs());
}

fn is_tried(machine: &Machine) {
    machine.ok("netbe activate --try nog/second");
    machine.restart();
    assert_eq!(machine.active(), "first");
    machine.ok("netbe reconcile");
    assert_eq!(machine.active(), "first");
    machine.comes_up();
    assert_eq!(machine.active(), "second");
    assert!(machine.ok("netbe list -H").contains("nog\tsecond\tNR\t"));
    machine.ok("netbe create nog/third");
    machine.ok("netbe activate --try nog/third");
    machine.restart();
    // It hangs, and its power is cut.
    machine.restart();
    machine.comes_up();
    assert_eq!(machine.active(), "second");
    let list = machine.ok("netbe list -H");
    assert!(list.contains("nog\tthird\t!"), "{list}");
    // It stays in the menu, for a person to look at.
    let menu = machine.grub_reads("/netbe/environments.cfg");
    assert!(menu.contains("menuentry 'third ("), "{menu}");
    assert!(menu.contains(", its trial failed)'"), "{menu}");
    machine.ok("netbe destroy nog/third -y");
    machine.ok("netbe check");
}

#[test]
fn a_boot_for_once_needs_a_place_that_grub_can_write_to() {
    let machine = machine();
    // It need not be mounted.
    run(Command::new("umount").arg(machine.root.join("boot/efi")));
    machine.ok("netbe activate --once nog/second");
    machine.ok("netbe activate --cancel nog");
    machine.ok("mv /usr/sbin/blkid /usr/sbin/blkid.away; ln -s ../bin/busybox /usr/sbin/blkid");
    let refused = machine.fails(3, "netbe activate --once nog/second");
    assert!(refused.contains("no disk has it"), "{refused}");
    machine.ok("netbe check; mv /usr/sbin/blkid.away /usr/sbin/blkid");
    // By another entry of the menu: GRUB has forgotten nothing, and netbe neither.
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe activate --once nog/second");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe reconcile");
    assert_eq!(machine.once(), "netbe_once=second");
    // The menu takes the file away with it.
    machine.ok("netbe activate --cancel nog");
    machine.boot("@");
    machine.ok("netbe adopt --undo");
    assert!(!machine.root.join(BLOCK).exists());
}
