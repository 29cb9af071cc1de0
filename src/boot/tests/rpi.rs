mod faults;
mod filters;
mod older;

use super::*;
use crate::boot::initramfs::Mounter;
use crate::boot::plan::mounting_of;
use std::io::Write;

const VERSION: &str = "6.12.47+rpt-rpi-v8";

fn kernel(version: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write!(
        encoder,
        "MZ some code Linux version {version} (x@y) and more"
    )
    .unwrap();
    encoder.finish().unwrap()
}

/// Raspberry Pi OS, 64-bit, as in its image.
fn rpios() -> (Half, Half) {
    let config = include_str!("../../../tests/fixtures/boot/rpios-bookworm/config.txt");
    let cmdline = include_str!("../../../tests/fixtures/boot/rpios-bookworm/cmdline.txt");
    let fstab = include_str!("../../../tests/fixtures/boot/rpios-bookworm/fstab");
    let mut boot = half(&[
        ("config.txt", config),
        ("cmdline.txt", cmdline),
        ("start4.elf", "x"),
        ("fixup4.dat", "x"),
        ("start.elf", "x"),
        ("fixup.dat", "x"),
        ("bcm2710-rpi-3-b.dtb", "x"),
        ("bcm2711-rpi-4-b.dtb", "x"),
        ("bcm2712-rpi-5-b.dtb", "x"),
        ("overlays/vc4-kms-v3d.dtbo", "x"),
        ("initramfs8", "x"),
        ("initramfs_2712", "x"),
    ]);
    boot.insert("kernel8.img".into(), kernel(VERSION));
    boot.insert("kernel_2712.img".into(), kernel("6.12.47+rpt-rpi-2712"));
    let mut root = half(&[
        ("etc/fstab", fstab),
        ("usr/sbin/update-initramfs", "x"),
        ("etc/initramfs-tools/modules", "x"),
        ("usr/sbin/mount.nfs", "x"),
        ("lib/modules/6.12.47+rpt-rpi-v8/modules.dep", "x"),
        ("lib/modules/6.12.47+rpt-rpi-2712/modules.dep", "x"),
    ]);
    root.insert("bin/sh".into(), elf(183));
    (boot, root)
}

pub(super) fn sound() -> (Half, Half) {
    let (mut boot, mut root) = rpios();
    apply(&mut boot, &root, &want(None));
    mount_boot(&mut root, "/boot/firmware");
    (boot, root)
}

#[test]
fn an_image_becomes_an_environment() {
    let (mut boot, mut root) = rpios();
    let before = reasons(&boot, &root, &want(None), "/boot/firmware");
    assert!(
        before
            .iter()
            .any(|r| r.starts_with("cmdline.txt names PARTUUID=4e639091-02 as the root")),
        "{before:?}"
    );
    assert!(
        before
            .iter()
            .any(|r| r.contains("etc/fstab mounts PARTUUID=4e639091-02 as /")),
        "{before:?}"
    );
    let plan = apply(&mut boot, &root, &want(None));
    assert_eq!(plan.loader, Loader::Rpi);
    assert_eq!(plan.writes.len(), 1);
    assert_eq!(plan.notes, Vec::<String>::new());
    assert_eq!(
        plan.stripped,
        [
            "root=PARTUUID=4e639091-02",
            "rootfstype=ext4",
            "fsck.repair=yes",
            "resize"
        ]
    );
    assert_eq!(
        content(&boot, "cmdline.txt"),
        "console=serial0,115200 console=tty1 root=/dev/nfs \
         nfsroot=10.0.0.1:/srv/netbe/nodes/nog/envs/first/root,vers=3,tcp rw ip=dhcp rootwait\n"
    );
    mount_boot(&mut root, "/boot/firmware");
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot/firmware"),
        Vec::<String>::new()
    );
    // Back to the node's own disk.
    let mut local = want(None);
    local.root = RootPlace::Local("PARTUUID=4e639091-02".into());
    local.stash = &plan.stripped;
    apply(&mut boot, &root, &local);
    assert!(content(&boot, "cmdline.txt").contains(" root=PARTUUID=4e639091-02 rootfstype=ext4 "));
    assert_eq!(
        reasons(&boot, &root, &local, "/boot/firmware"),
        Vec::<String>::new()
    );
}

fn append(half: &mut Half, path: &str, text: &str) {
    half.get_mut(path).unwrap().extend(text.bytes());
}

fn replace(half: &mut Half, path: &str, from: &str, to: &str) {
    let text = content(half, path).replace(from, to);
    half.insert(path.into(), text.into_bytes());
}

#[test]
fn debians_layout_is_supported() {
    let config = include_str!("../../../tests/fixtures/boot/raspi-firmware/config.txt");
    let cmdline = include_str!("../../../tests/fixtures/boot/raspi-firmware/cmdline.txt");
    let mut boot = half(&[
        ("config.txt", config),
        ("cmdline.txt", cmdline),
        ("start4.elf", "x"),
        ("fixup4.dat", "x"),
        ("bcm2711-rpi-4-b.dtb", "x"),
        ("vmlinuz-6.1.0-32-arm64", "x"),
        ("initrd.img-6.1.0-32-arm64", "x"),
    ]);
    let mut root = half(&[
        (
            "etc/fstab",
            include_str!("../../../tests/fixtures/boot/raspi-firmware/fstab"),
        ),
        ("usr/sbin/update-initramfs", "x"),
        ("usr/share/initramfs-tools/init", "x"),
        ("usr/lib/modules/6.1.0-32-arm64/modules.dep", "x"),
    ]);
    let plan = apply(&mut boot, &root, &want(None));
    assert_eq!(
        plan.stripped,
        ["root=/dev/mmcblk0p2", "rw", "fsck.repair=yes"]
    );
    assert!(plan.notes[0].contains("no mount.nfs"));
    mount_boot(&mut root, "/boot/firmware");
    assert_eq!(
        reasons(&boot, &root, &want(None), "/boot/firmware"),
        Vec::<String>::new()
    );
    let summary = summary(&boot, &root);
    assert_eq!(summary.kernel_version.as_deref(), Some("6.1.0-32-arm64"));
    assert_eq!(summary.initramfs, ["initrd.img-6.1.0-32-arm64"]);
    boot.remove("vmlinuz-6.1.0-32-arm64");
    assert!(!reasons(&boot, &root, &want(None), "/boot/firmware").is_empty());
}

#[test]
fn without_an_initramfs_the_kernel_mounts() {
    let (mut boot, mut root) = rpios();
    boot.remove("initramfs8");
    boot.remove("initramfs_2712");
    let mut wanted = want(None);
    wanted.ip = "10.0.0.21/24,10.0.0.1,eth0".parse().unwrap();
    apply(&mut boot, &root, &wanted);
    assert!(content(&boot, "cmdline.txt").contains(
        "root,vers=4.2,tcp rw ip=10.0.0.21::10.0.0.1:255.255.255.0:nog:eth0:off rootwait"
    ));
    mount_boot(&mut root, "/boot/firmware");
    assert_eq!(
        reasons(&boot, &root, &wanted, "/boot/firmware"),
        Vec::<String>::new()
    );
    replace(&mut boot, "cmdline.txt", " ip=", " no=");
    let why = reasons(&boot, &root, &wanted, "/boot/firmware");
    assert!(why[0].contains("has no ip="), "{why:?}");
    assert_eq!(
        mounting_of(&boot, &root, None, None).mounter,
        Mounter::Kernel
    );
}

#[test]
fn other_command_line_files_and_missing_ones() {
    let (mut boot, root) = rpios();
    append(&mut boot, "config.txt", "[pi5]\ncmdline=five.txt\n");
    let plan = apply(&mut boot, &root, &want(None));
    let written: Vec<&str> = plan.writes.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(written, ["cmdline.txt", "five.txt"]);
    assert!(
        content(&boot, "five.txt")
            .starts_with("console=serial0,115200 console=tty1 root=/dev/nfs ")
    );
    // A prefix with kernel and device tree applies to all files.
    for name in [
        "kernel8.img",
        "bcm2711-rpi-4-b.dtb",
        "cmdline.txt",
        "initramfs8",
    ] {
        let bytes = boot[name].clone();
        boot.insert(format!("next/{name}"), bytes);
    }
    append(&mut boot, "config.txt", "[pi4]\nos_prefix=next/\n");
    let summary = summary(&boot, &root);
    assert_eq!(summary.kernel_file.as_deref(), Some("next/kernel8.img"));
    assert_eq!(summary.initramfs, ["next/initramfs8"]);
    assert_eq!(summary.kernel_version.as_deref(), Some(VERSION));
}

#[test]
fn the_configuration_is_not_used_as_command_line() {
    for (line, file) in [
        ("cmdline=config.txt", "config.txt"),
        ("include more.txt\ncmdline=/more.txt", "more.txt"),
        ("include none.txt\ncmdline=none.txt", "none.txt"),
    ] {
        let (mut boot, root) = sound();
        append(&mut boot, "config.txt", &format!("\n[all]\n{line}\n"));
        boot.insert("more.txt".into(), b"arm_boost=1\n".to_vec());
        let refusal = crate::boot::plan(&boot, &root, &want(None)).unwrap_err();
        let told = format!("config.txt takes {file} for the command line");
        assert!(refusal.to_string().contains(&told), "{refusal}");
    }
}

#[test]
fn a_summary_is_cheap_and_correct() {
    let (boot, mut root) = rpios();
    let seen = summary(&boot, &root);
    assert_eq!(seen.loader, Some(Loader::Rpi));
    assert_eq!(seen.arch, Some(Arch::Aarch64));
    assert_eq!(seen.kernel_file.as_deref(), Some("kernel8.img"));
    assert_eq!(seen.kernel_version.as_deref(), Some(VERSION));
    assert_eq!(seen.initramfs, ["initramfs8"]);
    assert!(seen.cmdline.unwrap().starts_with("console=serial0"));
    // With modules of two versions the image decides.
    root.insert(
        "lib/modules/6.6.1+rpt-rpi-v8/modules.dep".into(),
        b"x".to_vec(),
    );
    assert_eq!(
        summary(&boot, &root).kernel_version.as_deref(),
        Some(VERSION)
    );
}
