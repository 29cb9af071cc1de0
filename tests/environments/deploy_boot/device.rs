//! A card that is a block device.
//!
//! A kernel without FAT cannot mount one, and netbe refuses; everywhere it is formatted and looked at by the same script as
//! netbe's. What wants the one kernel or the other is ignored unless asked for: `scripts/test` asks for what can be had.

use std::fs;
use std::process::{Command, Output};

use super::{pool, status};
use crate::support::{self, Disk};

const SCRIPT: &str = concat!(
    include_str!("../../../src/fs/partitions.sh"),
    include_str!("../../../src/card/device.sh")
);

/// Runs netbe's script.
fn script(device: &Disk, verb: &str) -> Output {
    let mut script = Command::new("sh");
    script.args(["-c", SCRIPT, "netbe"]);
    script.arg(device.device()).arg(verb).output().unwrap()
}

#[test]
fn a_card_is_formatted_with_one_fat_partition_that_is_found_again() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    let looked = script(&device, "look");
    let told = String::from_utf8_lossy(&looked.stdout);
    assert_eq!(
        told, "partition=\nheld=\nmounted=\nprotected=0\nsize=268435456\n",
        "{looked:?}"
    );
    let formatted = script(&device, "format");
    assert!(formatted.status.success(), "{formatted:?}");
    let looked = script(&device, "look");
    let told = String::from_utf8_lossy(&looked.stdout);
    let partition = format!("{}p1", device.show());
    for line in [
        format!("partition={partition}\nheld=dos\n"),
        "\nuuid=".into(),
    ] {
        assert!(told.contains(&line), "{told}");
    }
    // The firmware of some boards reads an MBR only, and the first FAT partition of it.
    let table = Command::new("sfdisk")
        .arg("-d")
        .arg(device.device())
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(
        table.contains("label: dos") && table.contains("type=c, bootable"),
        "{table}"
    );
    support::run(Command::new("fsck.vfat").arg("-n").arg(&partition));
}

#[test]
#[ignore = "wants a kernel that can mount FAT"]
fn with_fat_a_device_is_written_where_it_is_empty_or_has_fat() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    let line = format!("deploy nog --boot {}", device.show());
    let told = pool.plans(&line);
    assert!(
        told.contains(&format!("format {}", device.show())),
        "{told}"
    );
    pool.netbe().ok(&line);
    assert_eq!(status(&pool)["behind"], serde_json::Value::Null);
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok(&line);
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&device.show().to_string()), "{mounts}");
    let partition = format!("{}p1", device.show());
    let listed = Command::new("mdir")
        .args(["-i", &partition, "::netbe"])
        .output();
    let listed = listed.unwrap();
    assert!(listed.status.success(), "{listed:?}");
    support::run(Command::new("fsck.vfat").arg("-n").arg(&partition));
}

#[test]
#[ignore = "wants a kernel that cannot mount FAT"]
fn without_fat_a_device_is_refused_and_left_alone() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    let line = format!("deploy nog --boot {}", device.show());
    let why = [
        "the kernel of this server cannot mount FAT",
        "modprobe vfat",
    ];
    pool.refuses(3, &line, &why);
    let content = fs::read(pool.beside().join("disk.img")).unwrap();
    assert!(content.iter().all(|byte| *byte == 0));
}

#[test]
fn what_a_device_holds_is_not_formatted_unasked() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    support::run(Command::new("mkfs.btrfs").arg("-q").arg(device.device()));
    let line = format!("deploy nog --boot {}", device.show());
    let why = ["has no FAT partition, and is not empty (btrfs)", "--yes"];
    pool.refuses(3, &line, &why);
    let at = pool.beside().join("mounted here");
    fs::create_dir(&at).unwrap();
    support::run(Command::new("mount").arg(device.device()).arg(&at));
    for line in [line.clone(), format!("{line} --yes")] {
        let why = [
            format!("is mounted at {}", at.display()),
            format!("hint: umount '{}'", at.display()),
        ];
        pool.refuses(3, &line, &why.each_ref().map(String::as_str));
    }
    support::unmount(&at);
}

#[test]
fn a_disk_with_the_root_of_a_node_is_not_formatted_for_a_card() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    pool.netbe().ok("create ordo/x --from base");
    pool.netbe().ok(&format!("deploy ordo {}", device.show()));
    let line = format!("deploy nog --boot {} --yes", device.show());
    pool.refuses(3, &line, &["has the root of an environment"]);
    device.with(true, |at| assert!(at.join("netbe").is_dir()));
}

#[test]
#[ignore = "wants a kernel that can mount FAT"]
fn with_fat_a_device_that_is_smaller_than_the_boot_files_is_not_formatted() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    let large = pool.half("nog/a", "boot").join("large");
    support::run(Command::new("truncate").args(["-s", "300M"]).arg(large));
    let line = format!("deploy nog --boot {}", device.show());
    pool.refuses(3, &line, &["too little room"]);
    let content = fs::read(pool.beside().join("disk.img")).unwrap();
    assert!(content.iter().all(|byte| *byte == 0));
}
