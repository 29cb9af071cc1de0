//! A PC whose disk has nothing that GRUB can write to but btrfs: what is booted for once is in the sector that GRUB has from 2.14
//! on, beside GRUB's own variables.

use crate::local::{Alone, alone};
use crate::machine::Running;
use crate::scene;
use crate::trials;

/// Copies the sector to a file, which GRUB's own program edits.
const SECTOR: &str = "dd if=/dev/vda2 of=/tmp/block bs=4096 skip=64 count=1 iflag=direct status=none && truncate -s 512 /tmp/block";

impl Running {
    /// Returns the variables in the sector.
    fn variables(&mut self) -> String {
        self.ok(&format!("{SECTOR} && grub-editenv /tmp/block list"))
    }
}

#[test]
fn a_pc_with_btrfs_alone_boots_for_once_and_on_trial() {
    let Alone { machine, .. } = &alone("newer_grub", "newer-grub");
    let mut nog = machine.power_on_from_disk();
    nog.wait_until_up();
    assert!(nog.ok("grub-editenv --version").contains("2.14"));
    let planned = nog.ok("netbe adopt -n");
    let place = "have GRUB keep what it boots for once in the sector at 256 KiB of the btrfs UUID=";
    assert!(planned.contains(place), "{planned}");
    // As GRUB's own service does when it has booted: what is copied says then that the sector has a block. Else GRUB's programs
    // make it anew there.
    nog.ok("grub-editenv - set saved_entry=kept");
    nog.ok("netbe adopt --yes");
    // Of GRUB's own, by its own program: it boots this one once as well, if netbe says nothing.
    nog.ok("grub-reboot netbe-active");
    nog.ok(&format!(
        "{SECTOR} && grub-editenv /tmp/block set other=kept && \
         dd if=/tmp/block of=/dev/vda2 bs=512 seek=512 conv=notrunc,fsync status=none"
    ));
    nog.ok("netbe create nog/second && netbe activate --once nog/second");
    let output = nog.variables();
    assert_eq!(
        output,
        "next_entry=netbe-active\nother=kept\nnetbe_once=second\n"
    );
    nog.restart();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "second");
    assert_eq!(nog.variables(), "next_entry=\nother=kept\nnetbe_once=\n");
    nog.is_well();
    // Whether it comes up or not.
    drop(nog);
    let mut nog = machine.power_on_from_disk();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    nog.is_well();
    nog.ok("netbe check");
    nog.ok("btrfs filesystem sync / && btrfs scrub start -B /");
    if !scene::is_whole() {
        return;
    }
    let on = || machine.power_on_from_disk();
    let mut nog = trials::one_that_hangs_is_left(nog, &on, "first");
    trials::one_that_comes_up_is_active(&mut nog, "second");
    assert!(nog.variables().contains("\nother=kept\n"));
    // What it was installed as takes netbe's variable away, and leaves GRUB's.
    nog.ok("grub-reboot 2");
    nog.restart();
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
    nog.ok("netbe adopt --undo");
    assert_eq!(nog.variables(), "next_entry=\nother=kept\n");
    nog.restart();
    nog.wait_until_up();
    assert!(nog.ok("findmnt -n -o SOURCE /").contains("[/@]"));
}
