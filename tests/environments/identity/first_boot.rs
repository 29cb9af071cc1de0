//! The first boot of a system: each node keeps its identity, and its network interface.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{root, text};
use crate::support::{Pool, System, output, run};

#[test]
fn cloud_init_leaves_a_new_node_its_name() {
    let pool = Pool::new();
    let system = System::debian()
        .file("usr/bin/cloud-init", "#!ELF\n")
        .file("etc/cloud/cloud.cfg", "preserve_hostname: false\n")
        .file(
            "boot/user-data",
            "#cloud-config\nhostname: desk\nmanage_etc_hosts: true\n",
        )
        .file(
            "var/lib/cloud/seed/nocloud/meta-data",
            "instance-id: one\nlocal-hostname: desk\n",
        );
    system.build(&pool.beside().join("system"));
    let imported = pool.netbe().run("import base/it system");
    assert_eq!(imported.status, 0, "{imported:#?}");
    assert!(imported.stderr.contains("cloud-init"), "{imported:#?}");
    pool.netbe()
        .ok("create nog/a --from base --mac 52:54:00:00:00:01");
    let settings = "etc/cloud/cloud.cfg.d/99-netbe.cfg";
    assert!(text(&pool, "nog/a", settings).contains("preserve_hostname: true"));
    assert!(!root(&pool, "base/it", settings).exists());
    let seed = text(&pool, "nog/a", "var/lib/cloud/seed/nocloud/meta-data");
    assert!(seed.starts_with("instance-id: nog-"), "{seed}");
    assert!(seed.ends_with("\nlocal-hostname: nog\n"), "{seed}");
    let data = fs::read_to_string(pool.half("nog/a", "boot").join("user-data")).unwrap();
    assert_eq!(
        data,
        "#cloud-config\nhostname: nog\nmanage_etc_hosts: true\n"
    );
    // The same machine stays who it is.
    fs::write(root(&pool, "nog/a", settings), "# mine\n").unwrap();
    pool.netbe().ok("clone nog/a nog/b");
    assert_eq!(text(&pool, "nog/b", settings), "# mine\n");
    let again = pool.netbe().run("import base/again system");
    let note = "new nodes are still made from base/it, which is active";
    assert!(again.stderr.contains(note), "{}", again.stderr);
    assert!(again.stderr.contains("netbe activate base/again"));
}

/// A system whose network programs would each take the interface of the root down.
fn networked() -> System {
    System::debian()
        .file("usr/bin/cloud-init", "#!ELF\n")
        .file("etc/dhcpcd.conf", "hostname\n")
        .file("usr/sbin/ifup", "\x7fELF no-auto-down\0")
        .file(
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\nsource /etc/net/*.cfg\n",
        )
        .file("etc/net/second.cfg", "auto eth1\niface eth1 inet dhcp\n")
        .file("usr/lib/systemd/system/ifup@.service", "[Service]\nExecStop=/sbin/ifdown %I\n")
        .file("usr/sbin/dhclient-script", "#!/bin/sh\nrun_hookdir /etc/dhcp/dhclient-enter-hooks.d\n")
        .file(
            "etc/systemd/network/20-wired.network",
            "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
        )
        .file(
            "usr/lib/systemd/network/89-ethernet.network",
            "[Match]\nKind=!*\nType=ether\n[Network]\nDHCP=yes\n",
        )
        .file(
            "etc/netplan/01.yaml",
            "network:\n  ethernets:\n    lan:\n      dhcp4: true\n",
        )
        .file(
            "etc/sysconfig/network/ifcfg-eth0",
            "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        )
}

#[test]
fn network_configuration_keeps_the_interface_of_a_network_root_up() {
    let pool = Pool::new();
    networked().build(&pool.beside().join("system"));
    let imported = pool.netbe().run("import base/it system");
    assert_eq!(imported.status, 0, "{imported:#?}");
    assert!(
        imported.stderr.contains("/etc/dhcpcd.conf"),
        "{imported:#?}"
    );
    pool.netbe()
        .ok("create nog/a --from base --mac 52:54:00:00:00:01");
    let kept = [
        ("etc/dhcpcd.conf", "\npersistent\n"),
        ("etc/network/interfaces", "\nno-auto-down eth0\n"),
        ("etc/net/second.cfg", "\nno-auto-down eth1\n"),
        (
            "etc/systemd/system/ifup@.service.d/50-netbe.conf",
            "\nExecStop=\n",
        ),
        ("etc/dhcp/dhclient-enter-hooks.d/netbe", "old_ip_address= "),
        (
            "etc/systemd/network/20-wired.network.d/50-netbe.conf",
            "KeepConfiguration=yes\n",
        ),
        (
            "etc/systemd/network/89-ethernet.network.d/50-netbe.conf",
            "KeepConfiguration=yes\n",
        ),
        (
            "etc/systemd/network/10-netplan-lan.network.d/50-netbe.conf",
            "KeepConfiguration=yes\n",
        ),
        (
            "etc/sysconfig/network/ifcfg-eth0",
            "\nSTARTMODE='nfsroot'\n",
        ),
        (
            "etc/cloud/cloud.cfg.d/99-netbe-network.cfg",
            "network: {config: disabled}",
        ),
    ];
    for (path, part) in kept {
        let text = text(&pool, "nog/a", path);
        assert!(text.contains(part), "{path}: {text}");
    }
    // What the node then does is its own choice.
    fs::write(root(&pool, "nog/a", "etc/dhcpcd.conf"), "mine\n").unwrap();
    pool.netbe().ok("create nog/b");
    assert_eq!(text(&pool, "nog/b", "etc/dhcpcd.conf"), "mine\n");
    // With a root on a disk all of it is as it was.
    pool.netbe().ok("set root=LABEL=x base");
    pool.netbe().ok("create base/disk");
    for (path, _) in kept {
        let now = fs::read_to_string(root(&pool, "base/disk", path)).ok();
        let then = fs::read_to_string(pool.beside().join("system").join(path)).ok();
        assert_eq!(now, then, "{path}");
    }
}

#[test]
fn files_protected_by_chattr_get_the_nodes_identity_and_stay_protected() {
    let pool = Pool::with_template();
    let chattr = |flag: &str, path: &Path| run(Command::new("chattr").arg(flag).arg(path));
    let protected = |path: &Path| {
        let listed = output(Command::new("lsattr").arg("-d").arg(path));
        listed[..20].iter().any(|letter| b"ia".contains(letter))
    };
    let dir = |environment: &str| {
        pool.half(environment, "root")
            .parent()
            .unwrap()
            .to_path_buf()
    };
    let base = dir("base/stock");
    // A directory, and what is in it.
    for (flag, paths) in [
        (
            "+i",
            &["root/etc/hostname", "root/etc/hosts", "root/etc/fstab"][..],
        ),
        ("+a", &["root/etc/machine-id", "root/etc/fstab"]),
        (
            "+i",
            &[
                "root/etc/ssh/ssh_host_ecdsa_key",
                "boot/pxelinux.cfg/default",
                "root/etc",
            ],
        ),
        ("+i", &["boot"]),
    ] {
        let places: Vec<PathBuf> = paths.iter().map(|path| base.join(path)).collect();
        places.iter().for_each(|path| chattr(flag, path));
        pool.netbe()
            .ok("create ordo/a --from base --serial 0badcafe");
        let made = dir("ordo/a");
        let name = fs::read_to_string(made.join("root/etc/hostname")).unwrap();
        assert_eq!(name, "ordo\n");
        for path in paths {
            assert!(protected(&made.join(path)), "{path}");
        }
        assert_eq!(pool.netbe().ok("check ordo"), "Everything is sound.\n");
        pool.netbe().ok("set serial= ordo --force");
        pool.netbe().ok("rename ordo/a b");
        pool.netbe().ok("destroy -ry ordo");
        places.iter().for_each(|path| chattr("-ia", path));
    }
}
