//! Kernels that are there and that nothing here could start, and arguments that nobody there could read.

use std::io::Write;

use super::pxelinux::debian;
use super::*;

const DEFAULT: &str = "pxelinux.cfg/default";

/// Returns a kernel of a version with these bytes at these places.
fn image(places: &[(usize, &[u8])], version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    for (at, what) in places {
        bytes[*at..at + what.len()].copy_from_slice(what);
    }
    bytes.extend(format!("Linux version {version} (x@y)\0").bytes());
    bytes
}

fn arm64(version: &str) -> Vec<u8> {
    image(&[(0, b"MZ"), (0x38, b"ARM\x64")], version)
}

fn arm32(version: &str) -> Vec<u8> {
    image(&[(0x24, b"\x18\x28\x6f\x01")], version)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// EFI zboot: where what is packed begins, and how long it is.
fn zboot(version: &str) -> Vec<u8> {
    let packed = gzip(&arm64(version));
    let mut bytes = b"MZ\0\0zimg".to_vec();
    bytes.extend(64u32.to_le_bytes());
    bytes.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(packed);
    bytes
}

#[test]
fn a_raspberry_pi_starts_formats_that_its_firmware_knows() {
    const V: &str = "6.12.47+rpt-rpi-v8";
    let packed = zstd::encode_all(arm64(V).as_slice(), 1).unwrap();
    for (config, name, kernel, word) in [
        ("", "kernel8.img", arm64(V), ""),
        ("", "kernel8.img", gzip(&arm64(V)), ""),
        (
            "kernel=vmlinuz\narm_64bit=1\n",
            "vmlinuz",
            gzip(&arm64(V)),
            "",
        ),
        ("kernel=u-boot.bin\n", "u-boot.bin", b"code".to_vec(), ""),
        (
            "kernel=vmlinuz\narm_64bit=1\n",
            "vmlinuz",
            zboot(V),
            "EFI zboot",
        ),
        ("kernel=vmlinuz\n", "vmlinuz", packed, "a packed kernel"),
        (
            "kernel=vmlinuz\n",
            "vmlinuz",
            image(&[(0x202, b"HdrS")], V),
            "bzImage",
        ),
        (
            "kernel=vmlinuz\n",
            "vmlinuz",
            b"\xed\xab\xee\xdb".to_vec(),
            "a package (RPM), and no loader",
        ),
        (
            "kernel=fit\n",
            "fit",
            b"\xd0\x0d\xfe\xed and more".to_vec(),
            "FIT image",
        ),
        ("arm_64bit=1\n", "kernel8.img", arm32(V), "in 64-bit mode"),
        (
            "kernel=kernel7l.img\n",
            "kernel7l.img",
            arm64(V),
            "in 32-bit mode",
        ),
        (
            "kernel=vmlinuz\narm_64bit=0\n",
            "vmlinuz",
            arm64(V),
            "in 32-bit mode",
        ),
        ("kernel=vmlinuz\n", "vmlinuz", arm64(V), ""),
    ] {
        let (mut boot, root) = rpi::sound();
        // One model is enough.
        for other in [
            "bcm2710-rpi-3-b.dtb",
            "bcm2712-rpi-5-b.dtb",
            "kernel_2712.img",
        ] {
            boot.remove(other);
        }
        boot.insert("config.txt".into(), config.into());
        boot.insert(name.into(), kernel);
        let why = reasons(&boot, &root, &want(None), "/boot/firmware");
        let told = why
            .iter()
            .filter(|r| !r.contains("vers=") && !r.contains("mounts NFS"));
        let told: Vec<&String> = told.collect();
        match word {
            "" => assert!(told.is_empty(), "{config}{told:?}"),
            word => assert!(told.iter().any(|r| r.contains(word)), "{config}{told:?}"),
        }
    }
    // A 32-bit kernel runs no 64-bit programs; 32-bit programs run under a 64-bit kernel.
    let (mut boot, mut root) = rpi::sound();
    root.insert("bin/sh".into(), {
        let mut arm = elf(40);
        arm[4] = 1;
        arm
    });
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot/firmware"),
        Vec::<String>::new()
    );
    root.insert("bin/sh".into(), elf(183));
    boot.insert(
        "config.txt".into(),
        b"[pi4]\nkernel=kernel7l.img\n".to_vec(),
    );
    boot.insert("kernel7l.img".into(), arm32("6.12.47+rpt-rpi-v8"));
    let why = reasons(&boot, &root, &want(None), "/boot/firmware");
    assert!(
        why.iter()
            .any(|r| r.contains("is for armv7l, and the programs in the root are for aarch64")),
        "{why:?}"
    );
}

#[test]
fn each_loader_starts_its_own_kinds() {
    const V: &str = "6.1.0-32-amd64";
    let uimage = image(&[(0, b"\x27\x05\x19\x56")], V);
    for (machine, kernel, word) in [
        (
            62,
            image(&[(0x202, b"HdrS\x0f\x02"), (0x236, b"\x01")], V),
            "",
        ),
        (62, b"x".to_vec(), ""),
        (62, arm64(V), "PXELINUX starts x86 kernels"),
        (
            62,
            b"070701 initrd".to_vec(),
            "an archive, as an initramfs is, and no loader",
        ),
        (62, b"<!DOCTYPE html>".to_vec(), "a web page, and no loader"),
        (62, b"ANDROID!".to_vec(), "PXELINUX starts x86 kernels"),
        (183, b"ANDROID!".to_vec(), ""),
        (183, gzip(b"070701 initrd"), "no loader"),
        (62, gzip(&arm64(V)), "PXELINUX starts x86 kernels"),
        (183, arm64(V), ""),
        (183, gzip(&arm64(V)), ""),
        (183, zboot(V), "U-Boot starts no EFI program"),
        (183, uimage, ""),
        (183, arm32(V), "is for armv7l, and the programs"),
    ] {
        let (mut boot, mut root) = debian();
        root.insert("usr/bin/sh".into(), elf(machine));
        for name in ["pxelinux.0", "ldlinux.c32"] {
            boot.insert(name.into(), b"x".to_vec());
        }
        let is_unknown = kernel == b"x";
        boot.insert("vmlinuz-6.1.0-32-amd64".into(), kernel);
        // What nobody knows is no reason, and told.
        let notes = apply(&mut boot, &root, &want(None)).notes;
        let told = notes.iter().any(|note| note.contains("of an unknown kind"));
        assert_eq!(told, is_unknown, "{notes:?}");
        mount_boot(&mut root, "/boot");
        let why = reasons(&boot, &root, &want(None), "/boot");
        match word {
            "" => assert_eq!(why, Vec::<String>::new(), "{machine}"),
            word => assert!(why.iter().any(|r| r.contains(word)), "{machine} {why:?}"),
        }
    }
}

#[test]
fn arguments_are_in_the_syntax_of_the_initramfs() {
    let arch = || {
        let (mut boot, mut root) = debian();
        root.remove("usr/sbin/update-initramfs");
        root.insert("usr/bin/mkinitcpio".into(), b"x".to_vec());
        for name in ["pxelinux.0", "ldlinux.c32"] {
            boot.insert(name.into(), b"x".to_vec());
        }
        mount_boot(&mut root, "/boot");
        (boot, root)
    };
    // Its net hook cannot read ip=dhcp and a BOOTIF together.
    let (mut boot, root) = arch();
    apply(&mut boot, &root, &want(None));
    let made = content(&boot, DEFAULT).to_string();
    assert!(
        made.contains("ip=dhcp") && !made.contains("IPAPPEND"),
        "{made}"
    );
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
    for (append, sound) in [
        ("IPAPPEND 2", false),
        ("SYSAPPEND 0x2", false),
        ("IPAPPEND 3", true),
        ("IPAPPEND 1", true),
    ] {
        let theirs = made.replace("  APPEND", &format!("  {append}\n  APPEND"));
        let theirs = theirs.replace("# made by netbe", "# ours,");
        boot.insert(DEFAULT.into(), theirs.into());
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.is_empty(), sound, "{append} {why:?}");
    }
    // A menu that netbe made before is mended.
    let older = made.replace("  APPEND", "  IPAPPEND 2\n  APPEND");
    boot.insert(DEFAULT.into(), older.into());
    apply(&mut boot, &root, &want(None));
    assert_eq!(content(&boot, DEFAULT), made);
    // dracut takes a second ip= only with bootdev=.
    let (mut boot, mut root) = arch();
    root.remove("usr/bin/mkinitcpio");
    root.insert("usr/bin/dracut".into(), b"x".to_vec());
    apply(&mut boot, &root, &want(None));
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot"),
        Vec::<String>::new()
    );
    let both = content(&boot, DEFAULT).replace("IPAPPEND 2", "IPAPPEND 3");
    boot.insert(DEFAULT.into(), both.into());
    let why = reasons(&boot, &root, &want(None), "/boot");
    assert!(why.len() == 1 && why[0].contains("bootdev="), "{why:?}");
}

#[test]
fn a_kernel_by_itself_needs_the_version_of_nfs_and_a_way_to_its_address() {
    let (mut boot, mut root) = debian();
    boot.remove("initrd.img-6.1.0-32-amd64");
    for name in ["pxelinux.0", "ldlinux.c32"] {
        boot.insert(name.into(), b"x".to_vec());
    }
    mount_boot(&mut root, "/boot");
    apply(&mut boot, &root, &want(None));
    for lacking in [
        "# CONFIG_NFS_V4 is not set",
        "CONFIG_NFS_V4=m",
        "# CONFIG_IP_PNP_DHCP is not set",
    ] {
        // Which other versions it has does not matter.
        let config = format!("CONFIG_ROOT_NFS=y\n{lacking}\n# CONFIG_NFS_V3 is not set\n");
        boot.insert("config-6.1.0-32-amd64".into(), config.into());
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.len(), 1, "{lacking} {why:?}");
        let option = lacking.split(['=', ' ']).find(|word| word.len() > 1);
        assert!(why[0].contains(option.unwrap()), "{lacking} {why:?}");
    }
}
