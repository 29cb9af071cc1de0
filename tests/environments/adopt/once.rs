//! A boot for once and on trial of a machine that is its own node: GRUB forgets it before it boots, in a file that it can write.
//!
//! What GRUB does to the file, GRUB's own program does here.

use std::fs;
use std::process::Command;

use crate::support::{Machine, run};

const BLOCK: &str = "boot/efi/grub/netbe.env";

fn machine() -> Machine {
    let machine = Machine::with_partition();
    let planned = machine.ok("netbe adopt nog -n");
    assert!(
        planned.contains("keep what it boots for once in grub/netbe.env on UUID="),
        "{planned}"
    );
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe create nog/second");
    machine
}

impl Machine {
    /// Returns what GRUB boots next for once, by GRUB's own program.
    fn once(&self) -> String {
        let said = Command::new("grub-editenv")
            .arg(self.root.join(BLOCK))
            .arg("list")
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stdout).trim().to_string()
    }

    /// Has it boot what GRUB would.
    fn restart(&self) {
        let block = self.root.join(BLOCK);
        let env = match self.once().strip_prefix("netbe_once=") {
            Some(env) if !env.is_empty() => {
                run(Command::new("grub-editenv")
                    .arg(&block)
                    .args(["set", "netbe_once="]));
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
    fn comes_up(&self) {
        let unit = self.root.join("etc/systemd/system/netbe-report.service");
        let text = fs::read_to_string(unit).unwrap();
        assert!(text.contains("boot-complete.target"), "{text}");
        self.ok("mkdir -p /run/netbe; : >/run/netbe/came-up");
        self.ok("netbe --pool /run/netbe/local reconcile --quiet");
    }

    fn active(&self) -> String {
        let active = self.disk.path().join("netbe/nodes/nog/active");
        let led = fs::read_link(active).unwrap();
        led.file_name().unwrap().to_string_lossy().into_owned()
    }
}

#[test]
fn a_boot_for_once_is_forgotten_before_it_begins() {
    let machine = machine();
    let menu = machine.grub_reads("/@/boot/grub/grub.cfg");
    assert!(
        menu.contains("save_env -f \"($netbe_block)/grub/netbe.env\" netbe_once"),
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
    let said = machine.fails(3, "netbe destroy nog/second -y");
    assert!(said.contains("second"), "{said}");
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
    let machine = machine();
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
