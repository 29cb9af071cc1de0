//! A PC that boots from its own disk, by systemd-boot, and is its own node.

use crate::local::{Alone, alone};
use crate::scene;
use crate::trials;

#[test]
fn a_pc_with_systemd_boot_is_upgraded_and_goes_back_also_when_its_power_is_cut() {
    let Alone { machine, .. } = &alone("systemd_boot", "systemd-boot");
    let mut nog = machine.power_on_by_uefi();
    nog.wait_until_up();
    let kernel = nog.ok("uname -r");
    let planned = nog.ok("netbe adopt -n");
    assert!(
        planned.contains("have systemd-boot boot what is active of nog"),
        "{planned}"
    );
    nog.ok("netbe adopt --yes");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    nog.is_well();
    nog.ok("netbe check");

    nog.offer_newer();
    nog.ok("netbe upgrade --name second");
    nog.ok("netbe activate nog/second");
    drop(nog);
    let mut nog = machine.power_on_by_uefi();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    if scene::is_whole() {
        assert_ne!(nog.ok("uname -r"), kernel);
    }
    nog.ok("test -d /lib/modules/$(uname -r)");
    nog.is_well();
    nog.ok("netbe check");

    // On trial: the firmware's variable is gone before it begins.
    let on = || machine.power_on_by_uefi();
    let mut nog = trials::one_that_hangs_is_left(nog, &on, "second");
    if !scene::is_whole() {
        return;
    }
    nog.ok("netbe create nog/third");
    trials::one_that_comes_up_is_active(&mut nog, "third");
    nog.ok("netbe activate nog/first");
    let mut nog = trials::cut_while_it_activates(nog, &on, "first", "second");
    nog.restart();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("uname -r"), kernel);
    // Back to what it was installed as, by systemd-boot's own program.
    nog.ok("bootctl set-oneshot debian.conf");
    nog.restart();
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
    nog.ok("netbe adopt --undo");
    assert_eq!(nog.ok("ls -1 /boot/efi"), "EFI\ndebian\nloader\n");
    nog.restart();
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
}
