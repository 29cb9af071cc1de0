//! The sector in the reserved header of btrfs, where GRUB 2.14 and netbe keep variables: written when it may be, and nothing
//! else of the disk beneath the mounted filesystem.

use std::fs;
use std::process::Command;

use netbe::btrfs::reserved::{For, Reserved};
use netbe::btrfs::subvolume::identity;

use super::once::on_btrfs;
use crate::support::{Machine, Pool, run};

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// A block of GRUB's own, with these lines.
fn block(lines: &str) -> Vec<u8> {
    let mut bytes = format!("{SIGNATURE}{lines}").into_bytes();
    bytes.resize(512, b'#');
    bytes
}

/// The device of the machine's disk.
fn device(machine: &Machine) -> String {
    let output = Command::new("findmnt")
        .args(["-n", "-o", "SOURCE"])
        .arg(machine.disk.path())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Has it adopt, which must say that it leaves boots for once out, for this reason, and write nothing there.
fn is_left_out(machine: &Machine, why: &str) {
    let before = machine.sectors(8);
    let planned = machine.ok("netbe adopt nog -n");
    let line = planned
        .lines()
        .find(|line| line.contains("leave activate --once and --try out"));
    let line = line.unwrap_or_else(|| panic!("{planned}"));
    assert!(line.contains(why), "{line}");
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    machine.ok("netbe create nog/second");
    let output = machine.fails(3, "netbe activate --once nog/second");
    assert!(
        output.contains("can write to no filesystem here"),
        "{output}"
    );
    machine.boot("@");
    machine.ok("netbe adopt --undo");
    assert_eq!(machine.sectors(8), before);
}

#[test]
fn one_sector_is_written_and_undo_restores_it() {
    let machine = Machine::with_new_grub();
    assert_eq!(machine.sectors(8), [0; 4096]);
    machine.ok("netbe adopt nog -n");
    assert_eq!(machine.sectors(8), [0; 4096]);
    machine.ok("netbe adopt nog --yes");
    assert_eq!(machine.block(), block(""));
    machine.ok("netbe create nog/second; netbe activate --once nog/second");
    assert_eq!(machine.block(), block("netbe_once=second\n"));
    assert_eq!(machine.sectors(8)[512..], [0; 4096 - 512]);
    machine.ok("netbe activate --cancel nog");
    machine.ok("netbe adopt --undo");
    assert_eq!(machine.sectors(8), [0; 4096]);
}

#[test]
fn invariant_13_variables_of_grub_stay() {
    let machine = Machine::with_new_grub();
    machine.set_block(&block("next_entry=Debian\\\\x\nsaved_entry=0\n"));
    machine.ok("netbe adopt nog --yes");
    machine.ok("netbe create nog/second; netbe activate --once nog/second");
    assert_eq!(
        machine.block(),
        block("next_entry=Debian\\\\x\nsaved_entry=0\nnetbe_once=second\n")
    );
    machine.edit_block(&["set", "next_entry=other"]);
    machine.ok("netbe activate --cancel nog");
    assert_eq!(machine.block(), block("next_entry=other\nsaved_entry=0\n"));
    machine.ok("netbe adopt --undo");
    assert_eq!(machine.block(), block("next_entry=other\nsaved_entry=0\n"));

    // Without a variable: a block that was there stays, and one that GRUB has gone on with.
    for (was_there, goes_on) in [(true, false), (false, true)] {
        let machine = Machine::with_new_grub();
        if was_there {
            machine.set_block(&block(""));
        }
        machine.ok("netbe adopt nog --yes");
        if goes_on {
            let own = format!("{SIGNATURE}env_block=512+1\n##");
            fs::write(machine.root.join("boot/grub/grubenv"), own).unwrap();
        }
        machine.ok("netbe adopt --undo");
        assert_eq!(machine.block(), block(""), "{was_there}");
    }
}

#[test]
fn a_full_block_and_a_foreign_sector_are_left_as_they_are() {
    let machine = on_btrfs();
    let full = block(&format!("a={}\n", "b".repeat(512 - 25 - 3)));
    machine.set_block(&full);
    let output = machine.fails(3, "netbe activate --once nog/second");
    assert!(output.contains("has no room"), "{output}");
    assert_eq!(machine.block(), full);
    // GRUB's core, on a disk without partitions.
    let foreign = [0x52; 512];
    machine.set_block(&foreign);
    for line in ["activate --once", "activate --try"] {
        let output = machine.fails(3, &format!("netbe {line} nog/second"));
        assert!(output.contains("netbe leaves it as it is"), "{output}");
    }
    machine.ok("netbe check");
    machine.ok("netbe activate nog/second; netbe publish");
    machine.boot("@");
    machine.ok("netbe adopt --undo");
    assert_eq!(machine.block(), foreign);
}

#[test]
fn a_sector_without_grubs_block_is_not_used() {
    let machine = Machine::with_new_grub();
    let mut foreign = block("");
    foreign[0] = 0;
    machine.set_block(&foreign);
    is_left_out(&machine, "has neither zeros nor an environment block");
}

#[test]
fn a_grub_before_2_14_does_not_write_there() {
    let machine = Machine::new();
    machine.has_grub("2.12");
    is_left_out(&machine, "/boot/grub/i386-pc/modinfo.sh it is 2.12");
}

#[test]
fn a_partition_that_grub_writes_to_comes_first() {
    let machine = Machine::with_partition();
    machine.has_grub("2.14");
    let planned = machine.ok("netbe adopt nog -n");
    assert!(
        planned.contains("once in grub/netbe.env on UUID="),
        "{planned}"
    );
}

#[test]
fn a_filesystem_with_two_devices_is_not_written_to() {
    let machine = Machine::with_new_grub();
    let other = machine.disk.beside().join("other");
    fs::File::create(&other).unwrap().set_len(1 << 30).unwrap();
    let made = Command::new("losetup")
        .args(["--show", "-f"])
        .arg(&other)
        .output()
        .unwrap();
    let other = String::from_utf8_lossy(&made.stdout).trim().to_string();
    let add = || {
        run(Command::new("btrfs")
            .args(["-q", "device", "add", "-f", &other])
            .arg(machine.disk.path()));
    };
    add();
    let planned = machine.ok("netbe adopt nog -n");
    assert!(planned.contains("has 2 devices"), "{planned}");
    let remove = || {
        run(Command::new("btrfs")
            .args(["-q", "device", "remove", &other])
            .arg(machine.disk.path()));
    };
    remove();
    machine.ok("netbe adopt nog --yes; netbe create nog/second");
    add();
    let before = machine.sectors(8);
    let output = machine.fails(3, "netbe activate --once nog/second");
    assert!(output.contains("has 2 devices"), "{output}");
    assert_eq!(machine.sectors(8), before);
    remove();
    run(Command::new("losetup").args(["-d", &other]));
    machine.ok("netbe activate --once nog/second");
    assert_eq!(machine.block(), block("netbe_once=second\n"));
}

#[test]
fn a_device_that_the_kernel_does_not_let_be_written_is_named() {
    let machine = on_btrfs();
    let node = machine.root.join(device(&machine).trim_start_matches('/'));
    let mount = |options: &str| {
        run(Command::new("mount")
            .args(["-o", options])
            .args([&node, &node]));
    };
    // As a kernel without CONFIG_BLK_DEV_WRITE_MOUNTED does for what is mounted. Nothing is pending then.
    mount("bind");
    mount("remount,bind,nodev");
    let output = machine.fails(3, "netbe activate --once nog/second");
    assert!(
        output.contains("this kernel does not allow writing to it"),
        "{output}"
    );
    run(Command::new("umount").arg(&node));
    assert_eq!(machine.block(), block(""));
    machine.ok("netbe check");
    machine.ok("netbe activate --once nog/second");
}

#[test]
fn another_device_under_its_name_is_not_written_to() {
    let machine = on_btrfs();
    let device = device(&machine);
    let node = machine.root.join(device.trim_start_matches('/'));
    // A copy of the same filesystem.
    let file = machine.disk.beside().join("copy");
    run(Command::new("cp")
        .arg("--sparse=always")
        .args([&machine.image(), &file]));
    let made = Command::new("losetup")
        .args(["--show", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    let copy = String::from_utf8_lossy(&made.stdout).trim().to_string();
    fs::remove_file(&node).unwrap();
    run(Command::new("cp").args(["-a", &copy]).arg(&node));
    let output = machine.fails(3, "netbe activate --once nog/second");
    run(Command::new("losetup").args(["-d", &copy]));
    assert!(output.contains("it is another device"), "{output}");
    fs::remove_file(&node).unwrap();
    let output = machine.fails(3, "netbe activate --once nog/second");
    assert!(output.contains("it has no node of that name"), "{output}");
    assert_eq!(machine.block(), block(""));
}

#[test]
fn a_disk_with_larger_sectors_is_refused() {
    let pool = Pool::bare(114 << 20);
    let file = pool.beside().join("large");
    fs::File::create(&file).unwrap().set_len(114 << 20).unwrap();
    let place = pool.beside().join("mounted");
    fs::create_dir(&place).unwrap();
    let made = Command::new("losetup")
        .args(["--sector-size", "4096", "--show", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    let device = String::from_utf8_lossy(&made.stdout).trim().to_string();
    run(Command::new("mkfs.btrfs").args(["-q", &device]));
    run(Command::new("mount").arg(&device).arg(&place));
    // The last one who has it open takes it along.
    run(Command::new("losetup").args(["-d", &device]));
    let uuid = identity::mounted_filesystem(&place).unwrap().to_string();
    let open = Reserved::open(&uuid, For::Writing).unwrap();
    for refused in [open.read().map(drop), open.write(&[1; 512])] {
        let output = refused.unwrap_err().to_string();
        assert!(
            output.contains("sectors are larger than 512 bytes"),
            "{output}"
        );
    }
    let here = identity::mounted_filesystem(pool.path())
        .unwrap()
        .to_string();
    assert_eq!(
        Reserved::open(&here, For::Reading).unwrap().read().unwrap(),
        [0; 512]
    );
}
