//! Roots on the node's own disk that an initramfs would not find.

use super::mounts::{ARCH, DRACUT, MODULES, TOOLS, machine};
use super::*;

/// A wanted root on a disk that this driver drives.
fn on_disk(driver: &str) -> Want<'static> {
    Want {
        root: RootPlace::Disk(DiskRoot {
            device: "PARTUUID=1-2".to_string(),
            filesystem: "btrfs".to_string(),
            subvolume: Some("netbe/first-1a2b3c4d".to_string()),
            target: None,
            drivers: vec![driver.to_string()],
            beside: Vec::new(),
        }),
        ..want(None)
    }
}

#[test]
fn a_missing_disk_driver_is_named_with_the_command_that_adds_it_to_the_initramfs() {
    let btrfs = format!("{MODULES}/kernel/fs/btrfs/btrfs.ko");
    for (maker, id, remedy) in [
        (
            TOOLS,
            "ID=debian",
            "netbe run nog/first -- sh -c 'printf \"%s\\n\" btrfs nvme >>/etc/initramfs-tools/modules && \
             update-initramfs -u -k all'",
        ),
        (
            DRACUT,
            "ID=fedora",
            "echo add_drivers+=\\\" btrfs nvme \\\" >",
        ),
        (ARCH, "ID=arch", "sed -i \"/^MODULES=/s/)/ btrfs nvme)/\""),
    ] {
        for (entries, lacks) in [
            (&["init"][..], &["btrfs.ko, nvme.ko", remedy][..]),
            (&["init", &btrfs], &["no nvme.ko, without"]),
            (
                &["init", &btrfs, "lib/modules/6.1.0-32-amd64/k/nvme.ko.zst"],
                &[],
            ),
        ] {
            let (mut boot, mut root) = machine(maker, id, entries);
            for (path, text) in [
                (&btrfs, "x"),
                (
                    &format!("{MODULES}/modules.dep"),
                    "kernel/fs/btrfs/btrfs.ko:\nkernel/d/nvme.ko:\n",
                ),
                (&format!("{MODULES}/modules.builtin"), "kernel/fs/x.ko\n"),
            ] {
                root.insert(path.clone(), text.into());
            }
            apply(&mut boot, &root, &on_disk("nvme"));
            let why = reasons(&boot, &root, &on_disk("nvme"), "/boot");
            assert_eq!(why.len(), usize::from(!lacks.is_empty()), "{maker} {why:?}");
            for word in lacks {
                assert!(why[0].contains(word), "{why:?}");
            }
        }
    }
}

#[test]
fn a_root_that_is_named_is_on_a_disk_that_some_driver_drives() {
    let named = || Want {
        root: RootPlace::Local("UUID=1-2".to_string()),
        ..want(None)
    };
    for (entries, told) in [
        (&["init"][..], "has no driver of any disk"),
        (&["init", "lib/modules/6.1.0-32-amd64/k/sd_mod.ko"], ""),
    ] {
        let (mut boot, mut root) = machine(TOOLS, "ID=debian", entries);
        let dep = "kernel/d/nvme.ko:\nkernel/d/sd_mod.ko:\n";
        root.insert(format!("{MODULES}/modules.dep"), dep.into());
        root.insert(format!("{MODULES}/modules.builtin"), b"".to_vec());
        apply(&mut boot, &root, &named());
        let why = reasons(&boot, &root, &named(), "/boot");
        assert_eq!(why.is_empty(), told.is_empty(), "{entries:?} {why:?}");
        assert!(
            why.iter()
                .all(|why| why.contains(told) && why.contains("MODULES=most"))
        );
    }
}
