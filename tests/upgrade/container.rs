//! The sandbox is a container and says so, and hooks get what a machine has that boots over the network.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{assert_ok, debian, upgrade};

#[test]
fn the_sandbox_is_a_container_and_answers_for_the_machine() {
    let pool = debian();
    let netbe = pool.netbe();
    let root = pool.half("nog/first", "root");
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    put("etc/initramfs-tools/initramfs.conf", "MODULES=dep\n");
    put(
        "usr/sbin/flash-kernel",
        "#!/bin/sh\necho \"$FK_MACHINE $FK_IGNORE_EFI\" > /flashed\n",
    );
    put("usr/sbin/update-grub", "#!/bin/sh\nexit 1\n");
    put("usr/sbin/modprobe", "#!/bin/sh\nexit 1\n");
    // By its path: this shell would take its own.
    let script = "cat /run/systemd/container /run/host/container-manager > /seen; echo $container >> /seen; \
                  cat /etc/initramfs-tools/conf.d/zz-netbe >> /seen; \
                  flash-kernel; update-grub && /run/netbe/bin/modprobe nfs && echo well >> /seen";
    assert_ok(&upgrade(&netbe, "--name new", script));
    let new = pool.half("nog/new", "root");
    let seen = fs::read_to_string(new.join("seen")).unwrap();
    let lines: Vec<&str> = seen.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "netbe",
            "netbe",
            "netbe",
            "case ${MODULES:-} in dep) MODULES=most ;; esac",
            "well"
        ]
    );
    assert_eq!(
        fs::read_to_string(new.join("flashed")).unwrap(),
        "none yes\n"
    );
    assert!(!new.join("etc/initramfs-tools/conf.d").exists());
    netbe.ok("check");
}

#[test]
fn modules_for_the_servers_kernel_are_named_once() {
    let pool = debian();
    let netbe = pool.netbe();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let directory = format!("/lib/modules/{}", release.trim());
    let script = "mkdir -p /lib/modules/$(cat /proc/sys/kernel/osrelease)/updates";
    let output = upgrade(&netbe, "--name new", script);
    assert_ok(&output);
    let note = format!("the run wrote {directory}: modules for this server's kernel");
    assert!(output.stderr.contains(&note), "{output:#?}");
    let output = netbe.run("upgrade nog/new --name again -- true");
    assert_ok(&output);
    assert!(
        !output.stderr.contains("this server's kernel"),
        "{output:#?}"
    );
}
