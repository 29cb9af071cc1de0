//! Whole environments in memory: planned, verified, damaged in one way at a time.

use std::collections::BTreeMap;

use super::*;

mod disks;
mod excess;
mod menus;
mod mounts;
mod pxelinux;
mod rpi;
mod starts;
mod uefi;
mod whole;

pub(crate) type Half = BTreeMap<String, Vec<u8>>;

pub(crate) const BOOT_SPEC: &str = "10.0.0.1:/srv/netbe/nodes/nog/envs/first/boot";

pub(crate) fn half(files: &[(&str, &str)]) -> Half {
    let files = files.iter();
    files
        .map(|(path, text)| ((*path).to_string(), text.as_bytes().to_vec()))
        .collect()
}

pub(crate) fn want(loader: Option<Loader>) -> Want<'static> {
    Want {
        name: "nog/first",
        hostname: "nog",
        serial: None,
        model: None,
        loader,
        root: RootPlace::Nfs {
            server: [10, 0, 0, 1].into(),
            path: "/srv/netbe/nodes/nog/envs/first/root".into(),
            version: None,
            options: None,
        },
        read_only: None,
        ip: Ip::Dhcp,
        add: &[],
        remove: &[],
        stash: &[],
        programs: Vec::new(),
        started_with: None,
    }
}

pub(crate) fn elf(machine: u8) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..6].copy_from_slice(b"\x7fELF\x02\x01");
    head[18] = machine;
    head
}

/// Applies the plan, and checks that a second plan is empty.
pub(crate) fn apply(boot: &mut Half, root: &Half, want: &Want<'_>) -> Plan {
    let plan = plan(boot, root, want).unwrap();
    for (path, bytes) in &plan.writes {
        boot.insert(path.clone(), bytes.clone());
    }
    let again = super::plan(boot, root, want).unwrap();
    assert!(again.writes.is_empty(), "{:?}", again.writes);
    assert!(again.stripped.is_empty());
    plan
}

pub(crate) fn reasons(boot: &Half, root: &Half, want: &Want<'_>, mount: &str) -> Vec<String> {
    verify(boot, root, want, mount, BOOT_SPEC).unwrap()
}

pub(crate) fn content<'a>(half: &'a Half, path: &str) -> &'a str {
    std::str::from_utf8(&half[path]).unwrap()
}

/// Adds the required fstab to the root half.
pub(crate) fn mount_boot(root: &mut Half, mount: &str) {
    let want = fstab::Want {
        read_only: false,
        rest: false,
        there: &[],
        boot_spec: Some(BOOT_SPEC),
        boot_mount: mount,
        version: NfsVersion::V4_2,
    };
    let old = root.get("etc/fstab").cloned().unwrap_or_default();
    let new = fstab::edit(std::str::from_utf8(&old).unwrap(), &want)
        .unwrap()
        .unwrap();
    root.insert("etc/fstab".into(), new.into_bytes());
}

#[test]
fn an_empty_half_is_no_environment() {
    let none = Half::new();
    assert_eq!(recognise(&none), None);
    assert_eq!(summary(&none, &none), Summary::default());
    assert!(plan(&none, &none, &want(None)).is_err());
    let reasons = reasons(&none, &none, &want(None), "/boot");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

#[test]
fn garbage_is_not_a_panic() {
    let noise: Vec<u8> = (0..70_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    for names in [
        &["config.txt", "cmdline.txt", "kernel8.img", "start4.elf"][..],
        &["pxelinux.cfg/default", "pxelinux.0", "vmlinuz-1.2.3"],
        &["extlinux/extlinux.conf", "vmlinuz"],
    ] {
        let boot: Half = names
            .iter()
            .map(|n| ((*n).to_string(), noise.clone()))
            .collect();
        let root: Half = [
            "bin/sh",
            "etc/fstab",
            "etc/default/grub",
            "usr/sbin/update-initramfs",
        ]
        .iter()
        .map(|n| ((*n).to_string(), noise.clone()))
        .collect();
        let _ = summary(&boot, &root);
        let _ = plan(&boot, &root, &want(None));
        assert!(!reasons(&boot, &root, &want(None), "/boot").is_empty());
    }
}
