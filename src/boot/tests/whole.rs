//! Files that end early, and initramfs files and modules without what belongs to them.

use super::mounts::{ALPINE, ARCH, DRACUT, INITRD, MODULES, TOOLS, machine};
use super::*;
use crate::boot::kernel::cpio;

#[test]
fn a_truncated_initramfs_is_named_with_the_command_that_remakes_it() {
    let noise = "Zq".repeat(3000);
    let program = format!("bin/busybox={noise}");
    let entries = ["init", "scripts/nfs", "bin/nfsmount", &program];
    for (maker, id, remedy) in [
        (TOOLS, "ID=debian", "update-initramfs -u -k all"),
        (DRACUT, "ID=fedora", "dracut --force --regenerate-all"),
        (ARCH, "ID=arch", "mkinitcpio -P"),
        (ALPINE, "ID=alpine", "make it again"),
    ] {
        let (mut boot, root) = machine(maker, id, &entries);
        let whole = cpio(&entries);
        boot.insert(INITRD.into(), whole[..whole.len() - 900].to_vec());
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        let told = format!("the initramfs {INITRD} ends early, in the middle of an archive: ");
        assert!(
            why.len() == 1 && why[0].starts_with(&told) && why[0].contains(remedy),
            "{why:?}"
        );
    }
}

#[test]
fn modules_without_their_index_are_a_reason() {
    for (module, index, sound) in [
        ("kernel/fs/nfs.ko", "modules.dep", true),
        ("kernel/fs/nfs.ko", "modules.dep.bin", true),
        ("kernel/fs/nfs.ko", "modules.order", false),
        ("modules.builtin", "modules.order", true),
    ] {
        let (mut boot, mut root) = machine(TOOLS, "ID=debian", &["init", "usr/bin/nfsmount"]);
        root.remove(&format!("{MODULES}/modules.dep"));
        for name in [module, index] {
            root.insert(format!("{MODULES}/{name}"), b"x".to_vec());
        }
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.is_empty(), sound, "{module} {index} {why:?}");
        assert!(
            sound || why[0].contains("netbe run nog/first -- depmod 6.1.0-32-amd64"),
            "{why:?}"
        );
    }
}

#[test]
fn an_initramfs_without_modules_suits_kernels_with_built_in_drivers_only() {
    let (nfs, wired) = ("fs/nfs/nfs.ko.xz", "drivers/net/ethernet/r8169.ko");
    let genet = "kernel/drivers/net/ethernet/genet.ko\n";
    for (modules, builtin, sound) in [
        (&[nfs][..], None, false),
        (&[wired], Some(""), false),
        (&[wired], Some(genet), true),
        (&[wired], None, true),
        (&["fs/ext4/ext4.ko"], Some(""), true),
    ] {
        let (mut boot, mut root) =
            machine(TOOLS, "ID=debian", &["init", "scripts/nfs", "bin/nfsmount"]);
        for module in modules {
            root.insert(format!("{MODULES}/kernel/{module}"), b"x".to_vec());
        }
        if let Some(builtin) = builtin {
            root.insert(format!("{MODULES}/modules.builtin"), builtin.into());
        }
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.is_empty(), sound, "{modules:?} {builtin:?} {why:?}");
        assert!(
            sound || why[0].contains("has no kernel modules") && why[0].contains("-u -k all"),
            "{why:?}"
        );
    }
}

#[test]
fn the_module_of_the_version_of_nfs_has_to_be_in_it() {
    let nfs = |name: &str| format!("{MODULES}/kernel/fs/nfs/{name}.ko.xz");
    let (tools, dracut) = (
        &["init", "scripts/nfs", "bin/nfsmount"][..],
        &[
            "init",
            "usr/lib/dracut/modules.txt=nfs\n",
            "sbin/mount.nfs",
            "etc/protocols",
        ][..],
    );
    for (maker, id, entries, has, modules, told) in [
        (
            TOOLS,
            "ID=debian",
            tools,
            &["nfs", "nfsv3"][..],
            &["nfs"][..],
            "nfsv3.ko",
        ),
        (
            TOOLS,
            "ID=debian",
            tools,
            &["nfs", "nfsv3"],
            &["nfs", "nfsv3"],
            "",
        ),
        (TOOLS, "ID=debian", tools, &["nfs"], &["nfs"], ""),
        (
            DRACUT,
            "ID=fedora",
            dracut,
            &["nfs", "nfsv3", "nfsv4"],
            &["nfs", "nfsv3"],
            "nfsv4.ko",
        ),
        (
            DRACUT,
            "ID=fedora",
            dracut,
            &["nfs", "nfsv4"],
            &["nfs", "nfsv4"],
            "",
        ),
    ] {
        let modules: Vec<String> = modules.iter().map(|name| nfs(name)).collect();
        let entries: Vec<&str> = entries
            .iter()
            .copied()
            .chain(modules.iter().map(String::as_str))
            .collect();
        let (mut boot, mut root) = machine(maker, id, &entries);
        for name in has {
            root.insert(nfs(name), b"x".to_vec());
        }
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        match told {
            "" => assert_eq!(why, Vec::<String>::new(), "{has:?}"),
            told => assert!(why.len() == 1 && why[0].contains(told), "{why:?}"),
        }
    }
}

#[test]
fn a_mount_nfs_in_the_place_of_nfsmount_looks_protocols_up() {
    // libtirpc's file is looked for where the system has that.
    for (protocols, netconfig, told) in [
        ("etc/protocols", "etc/netconfig", false),
        ("etc/protocols", "etc/x", true),
        ("etc/x", "etc/netconfig", true),
    ] {
        let entries = [
            "init",
            "scripts/nfs",
            "bin/nfsmount=mount.nfs",
            protocols,
            netconfig,
        ];
        let (mut boot, mut root) = machine(TOOLS, "ID=debian", &entries);
        root.insert("etc/netconfig".into(), b"x".to_vec());
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        let is_told = why
            .iter()
            .any(|why| why.contains("mounts no NFS version 3"));
        assert_eq!(is_told, told, "{why:?}");
    }
}
