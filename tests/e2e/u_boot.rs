//! An arm64 board with U-Boot boots by the menu it asks for, is upgraded, and goes back; with UEFI firmware it boots, too.
//!
//! The short form boots by U-Boot, once.
//!
//! QEMU's U-Boot has no `pxe` among its boot targets, as boards have; the story types what stands in theirs. Both kinds
//! of firmware boot one environment, by one DHCP configuration.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::arm64;
use crate::machine;
use crate::scene::{self, Scene};
use crate::support::{Netbe, run};
use crate::systems;

/// QEMU's U-Boot 2023.01 reads the first byte of the card's address six times.
const MAC: &str = "52:52:52:52:52:52";
/// What U-Boot asks for of the menu's FDTDIR: it knows no `fdtfile`, and the board's name is this.
const DEVICE_TREE: &str = "dtbs/qemu-arm.dtb";

/// Makes nog's two environments: one, and what its own package manager, emulated, has made of a copy.
fn fill(netbe: &Netbe, image: &Path, loaders: &Path) {
    arm64::import_template(netbe, image);
    fs::create_dir(format!("{}/dtbs", arm64::BOOT)).unwrap();
    machine::write_device_tree(&Path::new(arm64::BOOT).join(DEVICE_TREE));
    run(Command::new("cp")
        .arg("-r")
        .arg(loaders.join("usr"))
        .arg(arm64::ROOT));
    arm64::offer_greeting("2.0");
    netbe.ok("set loader=grub-efi");
    netbe.ok(&format!("create nog/first --mac {MAC}"));
    let table = netbe.ok("upgrade --node nog --name second");
    assert!(table.contains("netbe-greeting"), "{table}");
}

#[test]
fn a_board_boots_by_u_boot_through_upgrade_and_rollback_and_by_uefi() {
    let image = systems::real(&["--pi"]);
    let loaders = systems::signed_loaders("arm64");
    let scene = Scene::with_pool("u_boot", |netbe| fill(netbe, &image, &loaders));
    let server = &scene.server;
    let board = scene.machine("nog", MAC);

    let mut nog = board.power_on_u_boot();
    nog.boot_by_pxe();
    let output = nog.wait_until_up();
    let menu = format!("pxelinux.cfg/01-{}", MAC.replace(':', "-"));
    for file in [menu.as_str(), "pxelinux.cfg/default", DEVICE_TREE] {
        let asks = format!("Retrieving file: {file}");
        assert!(output.contains(&asks), "{asks}: {output}");
    }
    // The tree that it was sent, and not the one that QEMU has in its memory.
    assert!(
        output.contains("Flattened Device Tree blob at 4f000000"),
        "{output}"
    );
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("uname -m"), "aarch64\n");
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot/firmware"), "nfs4\n");
    nog.is_well();

    if !scene::is_whole() {
        return;
    }

    server.ok("netbe activate --try=60m nog/second");
    nog.restart();
    nog.boot_by_pxe();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    server.wait_until_active("nog", "second");
    server.ok("netbe rollback nog");
    nog.restart();
    nog.boot_by_pxe();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");

    server.ok("netbe activate --try=60m nog/second");
    nog.ok("sync");
    drop(nog);

    let mut nog = scene.machine("nog-uefi", MAC).power_on_uefi_arm64();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    nog.ok("test -d /sys/firmware/efi");
    let card = format!("BOOTIF=01-{MAC}");
    assert!(nog.ok("cat /proc/cmdline").contains(&card));
    assert!(nog.ok("dmesg").contains("Secure boot enabled"));
    server.wait_until_active("nog", "second");
    // The template is a Raspberry Pi's still.
    server.ok("netbe publish && netbe check nog");
}
