//! Faults that keep a Raspberry Pi from booting, with their reasons.

use super::*;

#[test]
fn each_fault_has_its_reason() {
    type Break = fn(&mut Half, &mut Half);
    let cases: &[(Break, &str)] = &[
        (
            |boot, _| drop(boot.remove("config.txt")),
            "config.txt is missing",
        ),
        (
            |boot, _| drop(boot.remove("cmdline.txt")),
            "cmdline.txt is missing",
        ),
        (
            |boot, _| drop(boot.insert("kernel8.img".into(), vec![])),
            "the kernel for a Raspberry Pi 4",
        ),
        (
            |boot, _| drop(boot.insert("initramfs8".into(), vec![])),
            "the initramfs initramfs8 (Raspberry Pi 4, Raspberry Pi 3) is empty",
        ),
        (
            |boot, _| drop(boot.insert("kernel8.img".into(), kernel("6.12.48+rpt-rpi-v8"))),
            "6.12.48+rpt-rpi-v8, and the root has no modules",
        ),
        (
            |_, root| drop(root.remove("lib/modules/6.12.47+rpt-rpi-2712/modules.dep")),
            "kernel_2712.img (Raspberry Pi 5) is version 6.12.47+rpt-rpi-2712",
        ),
        (
            |boot, _| {
                let whole = boot["kernel8.img"].clone();
                boot.insert("kernel8.img".into(), whole[..whole.len() - 4].to_vec());
            },
            "the kernel kernel8.img (Raspberry Pi 4, Raspberry Pi 3) ends early: its packed data break off: put the whole",
        ),
        (
            |boot, _| append(boot, "config.txt", "initramfs nothing followkernel\n"),
            "initramfs nothing (Raspberry Pi 4, Raspberry Pi 3) is missing",
        ),
        (
            |boot, _| append(boot, "config.txt", &format!("dtparam={}\n", "x".repeat(99))),
            "longer than 98 characters",
        ),
        (
            |boot, _| {
                append(boot, "config.txt", "boot_ramdisk=1\n");
                boot.insert("boot.img".into(), vec![0; 512]);
                boot.remove("start.elf");
            },
            "config.txt has boot_ramdisk=1: a Raspberry Pi",
        ),
        (
            |boot, _| append(boot, "config.txt", "os_prefix=next/\n"),
            "os_prefix=next/, under which",
        ),
        (
            |boot, _| append(boot, "cmdline.txt", "quiet\n"),
            "more than one line",
        ),
        (
            |boot, _| replace(boot, "cmdline.txt", "first", "second"),
            "cmdline.txt names the root 10.0.0.1:/srv/netbe/nodes/nog/envs/second/root, not",
        ),
        (
            |boot, _| replace(boot, "cmdline.txt", "vers=3,tcp", "vers=4.1,proto=tcp"),
            "mounts NFS version 3 only, not vers=4.1",
        ),
        (
            |boot, _| replace(boot, "cmdline.txt", "vers=3,tcp", "vers=4.1,proto=tcp"),
            "does not know the mount option proto=tcp",
        ),
        (
            |boot, _| replace(boot, "cmdline.txt", " rw", ""),
            "does not say rw",
        ),
        (
            |boot, _| replace(boot, "cmdline.txt", " rw", " rw root=UUID=x"),
            "has both root=/dev/nfs and root=UUID=x",
        ),
        (
            |boot, _| {
                replace(
                    boot,
                    "cmdline.txt",
                    " rw",
                    &format!(" rw {}", "x".repeat(1000)),
                );
            },
            "and 1024 are read",
        ),
        (
            |_, root| replace(root, "etc/fstab", "first/boot", "second/boot"),
            "etc/fstab mounts 10.0.0.1:/srv/netbe/nodes/nog/envs/second/boot at /boot/firmware, not",
        ),
        (
            |_, root| drop(root.remove("etc/fstab")),
            "etc/fstab does not mount",
        ),
        (
            |_, root| append(root, "etc/fstab", "/dev/mmcblk0p2 / ext4 defaults 0 1\n"),
            "etc/fstab mounts /dev/mmcblk0p2 as /",
        ),
    ];
    for (break_it, expected) in cases {
        let (mut boot, mut root) = sound();
        break_it(&mut boot, &mut root);
        let reasons = reasons(&boot, &root, &want(Some(Loader::Rpi)), "/boot/firmware");
        let found = reasons.iter().any(|r| r.contains(expected));
        // A kernel missing for one model means fewer models, not a broken environment.
        let fewer = *expected == "the kernel for a Raspberry Pi 4" && reasons.is_empty();
        assert!(found || fewer, "{expected}: {reasons:?}");
        assert!(reasons.iter().all(|r| !r.ends_with('.')));
    }
}

#[test]
fn a_boot_half_for_no_model_names_the_missing_kernel() {
    let (mut boot, root) = sound();
    for name in ["kernel8.img", "kernel_2712.img"] {
        boot.remove(name);
    }
    let reasons = reasons(&boot, &root, &want(None), "/boot/firmware");
    assert_eq!(
        reasons,
        ["kernel8.img, the kernel for a Raspberry Pi 4, is not in the boot folder"]
    );
}

#[test]
fn too_long_lines_are_refused_and_long_ones_reported() {
    let (boot, root) = rpios();
    for (length, refused) in [(650, false), (900, true)] {
        let add = ["x".repeat(length)];
        let wanted = Want {
            add: &add,
            ..want(None)
        };
        match plan(&boot, &root, &wanted) {
            Ok(plan) => assert!(!refused && plan.notes[0].contains("the firmware adds")),
            Err(e) => assert!(refused && format!("{e:#}").contains("and 1024 are read")),
        }
    }
}

#[test]
fn firmware_and_device_trees_that_are_not_whole_are_named() {
    let tree = |length: usize| {
        let mut tree = b"\xd0\x0d\xfe\xed\0\0\x01\0\0\0\0\x38\0\0\0\0\0\0\0\0\0\0\0\x11".to_vec();
        tree.resize(length, 0);
        tree
    };
    for (file, content, told) in [
        (
            "start4.elf",
            vec![],
            "start4.elf, firmware of a Raspberry Pi 4, is empty",
        ),
        ("bcm2711-rpi-4-b.dtb", tree(256), ""),
        (
            "bcm2711-rpi-4-b.dtb",
            tree(100),
            "bcm2711-rpi-4-b.dtb, the device tree of a Raspberry Pi 4, ends early: it is 100 bytes long",
        ),
        ("bcm2711-rpi-cm4.dtb", tree(100), ""),
    ] {
        let (mut boot, root) = sound();
        boot.insert(file.into(), content);
        let wanted = Want {
            model: Some(crate::boot::Model::Pi(crate::boot::rpi::Model::Pi4)),
            ..want(None)
        };
        let why = reasons(&boot, &root, &wanted, "/boot/firmware");
        match told {
            "" => assert_eq!(why, Vec::<String>::new(), "{file}"),
            told => assert!(why.len() == 1 && why[0].starts_with(told), "{why:?}"),
        }
    }
}
