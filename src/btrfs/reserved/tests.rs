//! Which devices are taken, by what the kernel and a superblock say. Not for a real device: `tests/environments/adopt/on_btrfs.rs`.

use super::*;

const UUID: &str = "3c5b7c0e-6a1b-4f0e-9d36-0d6e1a5b7c19";

fn superblock() -> [u8; 4096] {
    let mut bytes = [0; 4096];
    let uuid: Uuid = UUID.parse().unwrap();
    bytes[0x20..0x30].copy_from_slice(&uuid.0);
    bytes[0x30..0x38].copy_from_slice(&65536_u64.to_le_bytes());
    bytes[0x40..0x48].copy_from_slice(b"_BHRfS_M");
    bytes[0x88] = 1;
    bytes
}

#[test]
fn a_superblock_of_another_filesystem_is_refused() {
    assert_eq!(wrong_in(&superblock(), UUID), None);
    for (at, byte, words) in [
        (0x20, 0, "UUID=005b7c0e-"),
        (0x2f, 0, "and not of UUID=3c5b7c0e-"),
        (0x32, 2, "no superblock"),
        (0x40, b'-', "no superblock"),
        (0x47, b'-', "no superblock"),
        (0x88, 0, "has 0 devices"),
        (0x88, 2, "has 2 devices"),
        (0x8f, 1, "devices"),
    ] {
        let mut bytes = superblock();
        bytes[at] = byte;
        let why = wrong_in(&bytes, UUID).unwrap_or_default();
        assert!(why.contains(words), "{at}: {why}");
    }
}

#[test]
fn device_mapper_and_raid_devices_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let devices = dir.path().join(UUID).join("devices");
    let refused = |words: &str| {
        let e = device_of(dir.path(), UUID).unwrap_err();
        assert!(e.downcast_ref::<Failure>().is_some(), "{e:?}");
        assert!(e.to_string().contains(words), "{e}");
    };
    refused("is not mounted");
    fs::create_dir_all(&devices).unwrap();
    refused("has 0 devices");
    let one = devices.join("vda3");
    fs::create_dir(&one).unwrap();
    fs::write(one.join("dev"), "254:3\n").unwrap();
    let found = device_of(dir.path(), UUID).unwrap();
    assert_eq!(found.node, Path::new("/dev/vda3"));
    for between in ["dm", "md"] {
        fs::create_dir(one.join(between)).unwrap();
        refused("/dev/vda3 for a boot for once: it is no disk or partition itself");
        fs::remove_dir(one.join(between)).unwrap();
    }
    fs::create_dir(devices.join("vdb")).unwrap();
    refused("has 2 devices");
}

#[test]
fn a_device_is_known_by_its_name_and_number() {
    assert_eq!(node_of(OsStr::new("vda3")), Path::new("/dev/vda3"));
    assert_eq!(
        node_of(OsStr::new("cciss!c0d0p1")),
        Path::new("/dev/cciss/c0d0p1")
    );
    assert_eq!(number("259:3\n"), Some(nix::sys::stat::makedev(259, 3)));
    for text in ["", "259", "a:3", "259:"] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn a_refusal_of_the_kernel_is_not_a_failure_of_the_disk() {
    for errno in [Errno::EBUSY, Errno::EPERM, Errno::EACCES, Errno::EROFS] {
        assert!(is_forbidden(&errno.into()), "{errno}");
    }
    for errno in [Errno::EIO, Errno::ENXIO, Errno::ENOMEM, Errno::ENOENT] {
        assert!(!is_forbidden(&errno.into()), "{errno}");
    }
}
