//! This machine itself as a node: a system whose root is a subvolume of a real btrfs, GRUB's own programs write its
//! configuration, and GRUB's own driver reads the disk.
//!
//! netbe runs in it, as a machine runs it: its root is the one that `/` is. What boots is told in `tests/e2e`.

mod again;
mod beside;
mod on_btrfs;
mod once;
mod systemd_boot;
mod verbs;

use std::fs;
use std::process::Command;

use crate::support::{Fingerprint, Machine, run};

#[test]
fn the_running_system_becomes_an_environment_that_grub_reads() {
    let machine = Machine::new();
    let before = Fingerprint::of(machine.disk.path());
    let planned = machine.ok("netbe adopt nog -n");
    for words in [
        "snapshot the running root (@)",
        "leave shared",
        "/home",
        "/var/lib/portables",
        "grub-mkconfig -o /boot/grub/grub.cfg",
        "/etc/kernel/postinst.d/zz-netbe",
    ] {
        assert!(planned.contains(words), "{planned}");
    }
    let asked = machine.fails(3, "netbe adopt nog </dev/null");
    assert!(asked.contains("nothing was changed"), "{asked}");
    let changes = before.changes(&Fingerprint::of(machine.disk.path()));
    assert!(changes.is_empty(), "{changes:#?}");
    machine.ok("netbe adopt nog --yes");

    let own = machine.grub_reads("/netbe/nodes/nog/active/boot/grub/netbe.cfg");
    assert!(
        own.contains("\nlinux /netbe/nodes/nog/envs/first/boot/vmlinuz-6.1.0-50-amd64 "),
        "{own}"
    );
    assert!(
        own.contains(" rootflags=subvol=netbe/nodes/nog/envs/first/root rw"),
        "{own}"
    );
    let kernel = machine.grub_reads("/netbe/nodes/nog/active/boot/vmlinuz-6.1.0-50-amd64");
    assert!(kernel.contains("6.1.0-50-amd64 (builder"));
    let menu = machine.grub_reads("/@/boot/grub/grub.cfg");
    assert!(menu.contains("set default=netbe-active"), "{menu}");
    assert!(
        machine
            .grub_reads("/netbe/environments.cfg")
            .contains("--id netbe-first")
    );

    // The environment mounts itself, and what is shared.
    let first = machine.disk.path().join("netbe/nodes/nog/envs/first");
    let fstab = fs::read_to_string(first.join("root/etc/fstab")).unwrap();
    for words in [
        " / btrfs noatime,subvol=/netbe/nodes/nog/envs/first/root 0 0\n",
        " /boot btrfs defaults,subvol=/netbe/nodes/nog/envs/first/boot,x-netbe 0 0\n",
        "/dev/vda2 /home btrfs subvol=@home 0 0\n",
        " /var/lib/portables btrfs defaults,subvol=/@/var/lib/portables 0 0\n",
    ] {
        assert!(fstab.contains(words), "{fstab}");
    }
    assert!(!fstab.contains("machines"), "{fstab}");
    assert_eq!(fs::read_dir(first.join("root/boot")).unwrap().count(), 0);
    // What it was installed as is as it was.
    let original = machine.disk.path().join("@");
    assert!(
        fs::read_to_string(original.join("etc/fstab"))
            .unwrap()
            .starts_with("/dev/vda2 / btrfs noatime,subvol=@ ")
    );
    assert!(original.join("boot/vmlinuz-6.1.0-50-amd64").exists());
    let again = machine.fails(3, "netbe adopt --yes");
    assert!(again.contains("is a node already"), "{again}");
    machine.ok("netbe check");
}

#[test]
fn a_changed_filesystem_uuid_is_used() {
    let machine = Machine::new();
    let uuid = machine.with_other_uuid();
    machine.ok("netbe adopt nog --yes");
    let own = machine.grub_reads("/netbe/nodes/nog/active/boot/grub/netbe.cfg");
    assert!(own.contains(&format!(" root=UUID={uuid} ")), "{own}");
    let menu = machine.grub_reads("/@/boot/grub/grub.cfg");
    assert!(
        menu.contains(&format!("--fs-uuid --set=netbe {uuid}")),
        "{menu}"
    );
    machine.ok("netbe check");
}

#[test]
fn a_local_node_is_activated_rolled_back_and_kept() {
    let machine = Machine::new();
    machine.ok("netbe adopt nog --yes");
    assert!(machine.ok("netbe list -H").starts_with("nog\tfirst\tR\t"));
    machine.boot("netbe/nodes/nog/envs/first/root");
    assert!(machine.ok("netbe list -H").starts_with("nog\tfirst\tNR\t"));
    assert!(machine.ok("netbe status").contains("first"));
    machine.ok("netbe check");

    // Without an operand, this machine is meant.
    machine.ok("netbe create");
    machine.ok("netbe create nog/second -a");
    // At once: GRUB does not read the log of the filesystem.
    let next = machine.grub_reads("/netbe/nodes/nog/active/boot/grub/netbe.cfg");
    assert!(next.contains("/envs/second/boot/vmlinuz-"), "{next}");
    let menu = machine.grub_reads("/netbe/environments.cfg");
    assert!(
        menu.find("netbe-second") < menu.find("netbe-first"),
        "{menu}"
    );
    for (line, words) in [
        ("netbe destroy nog/first -y", "it has to boot another"),
        ("netbe destroy nog/second -y", "is the active environment"),
        ("netbe rename nog/first other", "it has to boot another"),
        (
            "netbe rename nog other",
            "only its environments can be renamed",
        ),
        ("netbe create other", "offers nothing to other machines"),
        ("netbe set mac=52:54:00:12:34:56 nog", "mac cannot be set"),
        (
            "netbe activate --once nog/first",
            "can write to no filesystem here",
        ),
        ("netbe adopt --undo", "this machine runs nog/first"),
        ("netbe adopt --yes", "runs nog/first"),
    ] {
        let output = machine.fails(3, line);
        assert!(output.contains(words), "{line}\n{output}");
    }
    machine.ok("netbe rollback");
    let next = machine.grub_reads("/netbe/nodes/nog/active/boot/grub/netbe.cfg");
    assert!(next.contains("/envs/first/boot/vmlinuz-"), "{next}");
    machine.ok("netbe rename nog/second third");
    let third = machine.grub_reads("/netbe/nodes/nog/envs/third/boot/grub/netbe.cfg");
    assert!(
        third.contains("subvol=netbe/nodes/nog/envs/third/root"),
        "{third}"
    );
    assert!(
        machine
            .grub_reads("/netbe/environments.cfg")
            .contains("netbe-third")
    );
    machine.ok("netbe destroy nog/third -y");
    assert!(
        !machine
            .grub_reads("/netbe/environments.cfg")
            .contains("netbe-third")
    );
    machine.ok("netbe check");
}

#[test]
fn grub_boots_a_kernel_installed_in_the_running_environment() {
    let machine = Machine::new();
    machine.ok("netbe adopt nog --yes");
    machine.boot("netbe/nodes/nog/envs/first/root");
    let boot = machine.root.join("boot");
    for (old, new) in [
        ("vmlinuz-6.1.0-50", "vmlinuz-6.1.0-51"),
        ("initrd.img-6.1.0-50", "initrd.img-6.1.0-51"),
    ] {
        let (old, new) = (format!("{old}-amd64"), format!("{new}-amd64"));
        let bytes = fs::read(boot.join(old)).unwrap();
        let bytes = replaced(&bytes, b"6.1.0-50", b"6.1.0-51");
        fs::write(boot.join(new), bytes).unwrap();
    }
    let modules = machine.root.join("usr/lib/modules");
    run(Command::new("cp")
        .arg("-r")
        .arg(modules.join("6.1.0-50-amd64"))
        .arg(modules.join("6.1.0-51-amd64")));
    machine.ok("sh /etc/kernel/postinst.d/zz-netbe 6.1.0-51-amd64");
    let next = machine.grub_reads("/netbe/nodes/nog/active/boot/grub/netbe.cfg");
    assert!(
        next.contains("/envs/first/boot/vmlinuz-6.1.0-51-amd64 "),
        "{next}"
    );
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn the_menu_is_taken_away_and_put_back() {
    let machine = Machine::new();
    machine.ok("netbe adopt nog --yes");
    machine.ok("netbe adopt --undo");
    assert!(!machine.root.join("etc/grub.d/06_netbe").exists());
    assert!(!machine.root.join("etc/kernel/postinst.d/zz-netbe").exists());
    assert!(
        !machine
            .grub_reads("/@/boot/grub/grub.cfg")
            .contains("netbe")
    );
    assert!(machine.ok("netbe list").contains("first"));
    // What is done to the pool has no effect then, and says so.
    let menu = "the loader's menu has no entry of nog, and this machine boots the installed system; netbe adopt";
    machine.ok("netbe create nog/second");
    let output = machine.run("netbe activate nog/second");
    assert!(
        output.status == 0 && output.stderr.contains(menu),
        "{output:#?}"
    );
    let output = machine.run("netbe check");
    assert!(
        output.status == 1 && output.stdout.contains(menu),
        "{output:#?}"
    );
    machine.ok("netbe activate nog/first");
    machine.ok("netbe adopt --yes");
    assert!(
        !machine
            .run("netbe activate nog/second")
            .stderr
            .contains(menu)
    );
    assert!(
        machine
            .grub_reads("/@/boot/grub/grub.cfg")
            .contains("netbe-active")
    );
}

#[test]
fn a_refused_adoption_leaves_no_files() {
    let machine = Machine::new();
    let is_untouched = || {
        !machine.disk.path().join("netbe").exists()
            && !machine.root.join("etc/grub.d/06_netbe").exists()
            && !machine
                .root
                .join("etc/systemd/system/run-netbe-local.mount")
                .exists()
    };
    // No driver of the disk in the initramfs: it would not boot.
    let initrd = machine.root.join("boot/initrd.img-6.1.0-50-amd64");
    let bytes = fs::read(&initrd).unwrap();
    fs::remove_file(&initrd).unwrap();
    fs::rename(
        machine.root.join("usr/lib/modules"),
        machine.root.join("usr/lib/no-modules"),
    )
    .unwrap();
    let refused = machine.fails(3, "netbe adopt nog --yes");
    assert!(refused.contains("would not boot"), "{refused}");
    assert!(is_untouched());
    fs::rename(
        machine.root.join("usr/lib/no-modules"),
        machine.root.join("usr/lib/modules"),
    )
    .unwrap();
    fs::write(&initrd, bytes).unwrap();

    let script = machine.root.join("etc/grub.d/06_netbe");
    fs::write(&script, "#!/bin/sh\necho mine\n").unwrap();
    let refused = machine.fails(3, "netbe adopt nog --yes");
    assert!(refused.contains("was not written by netbe"), "{refused}");
    fs::remove_file(script).unwrap();

    let own = machine.root.join("boot/grub/grub.cfg");
    fs::remove_file(&own).unwrap();
    let refused = machine.fails(3, "netbe adopt nog --yes");
    assert!(refused.contains("has no GRUB"), "{refused}");
    fs::create_dir_all(machine.root.join("boot/loader")).unwrap();
    fs::write(machine.root.join("boot/loader/loader.conf"), "").unwrap();
    let refused = machine.fails(3, "netbe adopt nog --yes");
    assert!(refused.contains("systemd-boot"), "{refused}");
    fs::write(own, "").unwrap();

    // What writes GRUB's configuration fails.
    fs::write(
        machine.root.join("usr/sbin/grub-mkconfig"),
        "#!/bin/sh\nexit 1\n",
    )
    .unwrap();
    machine.fails(1, "netbe adopt nog --yes");
    assert!(is_untouched());
}
