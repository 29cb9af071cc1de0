//! Initramfs files that could not mount the root they are loaded for.

use super::pxelinux::debian;
use super::*;
use crate::boot::kernel::cpio;

pub(super) const INITRD: &str = "initrd.img-6.1.0-32-amd64";
pub(super) const MODULES: &str = "usr/lib/modules/6.1.0-32-amd64";

/// Returns a machine whose initramfs has these entries and was made by this program.
pub(super) fn machine(maker: &str, id: &str, entries: &[&str]) -> (Half, Half) {
    let (mut boot, mut root) = debian();
    root.remove("usr/sbin/update-initramfs");
    for (path, content) in [(maker, "x"), ("etc/os-release", id)] {
        root.insert(path.into(), content.as_bytes().to_vec());
    }
    for name in ["pxelinux.0", "ldlinux.c32"] {
        boot.insert(name.into(), b"x".to_vec());
    }
    boot.insert(
        INITRD.into(),
        zstd::encode_all(cpio(entries).as_slice(), 1).unwrap(),
    );
    mount_boot(&mut root, "/boot");
    (boot, root)
}

pub(super) const TOOLS: &str = "usr/sbin/update-initramfs";
pub(super) const DRACUT: &str = "usr/bin/dracut";
pub(super) const ARCH: &str = "usr/bin/mkinitcpio";
pub(super) const ALPINE: &str = "sbin/mkinitfs";

#[test]
fn the_content_of_the_initramfs_decides() {
    for (maker, id, entries, word) in [
        (
            TOOLS,
            "ID=debian",
            &["init", "bin/nfsmount", "scripts/nfs", "scripts/local"][..],
            "",
        ),
        (TOOLS, "ID=debian", &["init", "usr/bin/nfsmount"], ""),
        (
            TOOLS,
            "ID=debian",
            &["init", "scripts/local", "usr/bin/nfsmount"],
            "script for an NFS root",
        ),
        (
            TOOLS,
            "ID=debian",
            &["init", "scripts/nfs"],
            "apt-get install -y initramfs-tools klibc-utils",
        ),
        (
            TOOLS,
            "ID=debian",
            &["init", "bin/busybox"],
            "has no nfsmount",
        ),
        (
            DRACUT,
            "ID=fedora",
            &[
                "init",
                "usr/lib/dracut/modules.txt=base\nnfs\n",
                "usr/sbin/mount.nfs",
            ],
            "",
        ),
        (DRACUT, "ID=fedora", &["init", "usr/bin/mount.nfs"], ""),
        (
            DRACUT,
            "ID=fedora",
            &["init", "usr/lib/dracut/modules.txt=base\nrootfs-block\n"],
            "dnf install -y dracut-network",
        ),
        (
            DRACUT,
            "ID=opensuse-tumbleweed\nID_LIKE=\"opensuse suse\"",
            &["init", "usr/lib/dracut/modules.txt=base\n"],
            "zypper -n install nfs-client",
        ),
        // What is in a squashfs in it is not seen.
        (DRACUT, "ID=fedora", &["init", "squashfs-root.img"], ""),
        (
            DRACUT,
            "ID=debian",
            &["init", "usr/lib/systemd/systemd"],
            "apt-get install -y dracut-network",
        ),
        (
            ARCH,
            "ID=arch",
            &[
                "init",
                "init_functions",
                "hooks/net",
                "usr/bin/nfsmount",
                "usr/bin/ipconfig",
            ],
            "",
        ),
        (
            ARCH,
            "ID=arch",
            &["init", "init_functions", "hooks/udev"],
            "pacman -S --needed --noconfirm mkinitcpio-nfs-utils",
        ),
        (
            ARCH,
            "ID=arch",
            &["init", "usr/lib/systemd/systemd"],
            "has no nfsmount",
        ),
        (
            ALPINE,
            "ID=alpine",
            &["init", "sbin/nlplug-findfs"],
            "mkinitfs, which mounts no NFS root",
        ),
        (
            ALPINE,
            "ID=alpine",
            &["init"],
            "mkinitfs, which mounts no NFS root",
        ),
        // Somebody's own: nothing is held against it.
        ("usr/bin/booster", "ID=arch", &["init"], ""),
        (
            "usr/bin/booster",
            "ID=arch",
            &["init", "usr/bin/mount.nfs"],
            "",
        ),
        // Without a program to start the root is left to the kernel.
        (TOOLS, "ID=debian", &["etc/x"], "has no /init"),
    ] {
        let (mut boot, root) = machine(maker, id, entries);
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        match word {
            "" => assert_eq!(why, Vec::<String>::new(), "{maker} {entries:?}"),
            word => assert!(
                why.len() == 1 && why[0].contains(word),
                "{maker} {entries:?} {why:?}"
            ),
        }
    }
}

#[test]
fn an_unknown_mounter_has_a_note() {
    for (entries, told) in [(&["init"][..], true), (&["init", "bin/mount.nfs"], false)] {
        let (mut boot, root) = machine("usr/bin/booster", "ID=arch", entries);
        let notes = apply(&mut boot, &root, &want(None)).notes;
        assert_eq!(
            notes.iter().any(|n| n.contains("an NFS root is unknown")),
            told,
            "{notes:?}"
        );
    }
}

#[test]
fn a_squashed_or_host_only_initramfs_has_a_note() {
    let dracut = ["init", "usr/lib/dracut/modules.txt=nfs\n", "sbin/mount.nfs"];
    for (more, word) in [
        ("squashfs-root.img", "in a squashfs"),
        (
            "usr/lib/dracut/hostonly-kernel-modules.txt",
            "made by dracut for one machine",
        ),
        ("etc/x", ""),
    ] {
        let entries = [&dracut[..], &[more]].concat();
        let (mut boot, root) = machine(DRACUT, "ID=fedora", &entries);
        let notes = apply(&mut boot, &root, &want(None)).notes;
        let told = notes.iter().filter(|n| n.contains("initramfs"));
        match word {
            "" => assert_eq!(told.count(), 0, "{notes:?}"),
            word => assert!(
                told.map(String::as_str).any(|n| n.contains(word)),
                "{notes:?}"
            ),
        }
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why, Vec::<String>::new(), "{more}");
    }
}

#[test]
fn the_driver_of_a_wired_network_has_to_be_in_it() {
    let net = format!("{MODULES}/kernel/drivers/net");
    let (wired, wireless) = (
        format!("{net}/ethernet/r8169.ko"),
        format!("{net}/wireless/ath.ko"),
    );
    let (disk, own) = (
        format!("{MODULES}/kernel/drivers/ata/ahci.ko"),
        format!("{MODULES}/updates/dkms/r8125.ko"),
    );
    let makers = [
        (
            TOOLS,
            "ID=debian",
            &["init", "scripts/nfs", "bin/nfsmount"][..],
            "MODULES=most",
        ),
        (
            ARCH,
            "ID=arch",
            &["init", "init_functions", "hooks/net", "usr/bin/nfsmount"],
            "autodetect",
        ),
        (
            DRACUT,
            "ID=fedora",
            &["init", "usr/lib/dracut/modules.txt=nfs\n", "sbin/mount.nfs"],
            "hostonly=no",
        ),
    ];
    for (maker, id, entries, remedy) in makers {
        for (module, builtin, sound) in [
            (Some(&disk), Some("kernel/fs/ext4/ext4.ko\n"), false),
            (Some(&wireless), Some(""), false),
            (Some(&wired), Some(""), true),
            (Some(&own), Some(""), true),
            (
                Some(&disk),
                Some("kernel/drivers/net/ethernet/genet.ko\n"),
                true,
            ),
            (Some(&disk), None, true),
            (None, None, true),
        ] {
            let more: Vec<&str> = module.into_iter().map(String::as_str).collect();
            let (mut boot, mut root) = machine(maker, id, &[entries, &more[..]].concat());
            root.insert(wired.clone(), b"x".to_vec());
            if let Some(builtin) = builtin {
                root.insert(format!("{MODULES}/modules.builtin"), builtin.into());
            }
            apply(&mut boot, &root, &want(None));
            let why = reasons(&boot, &root, &want(None), "/boot");
            assert_eq!(
                why.is_empty(),
                sound,
                "{maker} {module:?} {builtin:?} {why:?}"
            );
            assert!(sound || why[0].contains(remedy), "{why:?}");
        }
    }
}

#[test]
fn the_module_of_nfs_has_to_be_in_it() {
    let module = format!("{MODULES}/kernel/fs/nfs/nfs.ko.xz");
    let other = format!("{MODULES}/kernel/drivers/net/tg3.ko");
    let mounter = ["init", "scripts/nfs", "bin/nfsmount"];
    for (modular, more, sound) in [
        (true, vec![&other], false),
        (true, vec![&other, &module], true),
        (false, vec![], true),
        (false, vec![&other], true),
    ] {
        let entries: Vec<&str> = mounter
            .into_iter()
            .chain(more.iter().map(|m| m.as_str()))
            .collect();
        let (mut boot, mut root) = machine(TOOLS, "ID=debian", &entries);
        if modular {
            root.insert(module.clone(), b"x".to_vec());
        }
        apply(&mut boot, &root, &want(None));
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.is_empty(), sound, "{entries:?} {why:?}");
        assert!(
            sound || why[0].contains("/etc/initramfs-tools/modules"),
            "{why:?}"
        );
    }
}

#[test]
fn the_version_asked_for_is_one_it_mounts() {
    let v4 = |line: &str| line.replace("vers=3,tcp", "vers=4.2");
    for (nfsmount, sound) in [("klibc", false), ("the program mount.nfs", true)] {
        let program = format!("bin/nfsmount={nfsmount}");
        let (mut boot, root) = machine(TOOLS, "ID=debian", &["init", "scripts/nfs", &program]);
        apply(&mut boot, &root, &want(None));
        let menu = v4(content(&boot, "pxelinux.cfg/default"));
        boot.insert("pxelinux.cfg/default".into(), menu.into());
        let why = reasons(&boot, &root, &want(None), "/boot");
        assert_eq!(why.is_empty(), sound, "{nfsmount} {why:?}");
    }
    // A real mount.nfs wants to look up the protocol for version 3.
    let (mut boot, root) = machine(
        DRACUT,
        "ID=fedora",
        &["init", "usr/lib/dracut/modules.txt=nfs\n", "sbin/mount.nfs"],
    );
    let RootPlace::Nfs {
        server,
        path,
        options,
        ..
    } = want(None).root
    else {
        return;
    };
    let wanted = Want {
        root: RootPlace::Nfs {
            server,
            path,
            options,
            version: Some(NfsVersion::V3),
        },
        ..want(None)
    };
    apply(&mut boot, &root, &wanted);
    let why = reasons(&boot, &root, &wanted, "/boot");
    assert!(
        why.len() == 1 && why[0].contains("/etc/protocols"),
        "{why:?}"
    );
}
