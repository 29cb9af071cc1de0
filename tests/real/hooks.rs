//! Hooks of real packages, which look for the machine they run on: boot loaders, kernels, initramfs makers, resolvers, dkms.
//!
//! Each is installed in a copy, of which netbe then says that it boots. What they saw of this server must not be in it.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use super::real;
use super::support::Pool;

/// Installs without questions, as an upgrade does.
const INSTALL: &str =
    "export DEBIAN_FRONTEND=noninteractive; apt-get -y --no-install-recommends install";

/// Installs packages in a copy of `from`, by a script; what comes of it boots, and has nothing for this server's kernel.
fn installed(pool: &Pool, from: &str, name: &str, script: &str) {
    let netbe = pool.netbe();
    let output = netbe.run_with(&["upgrade", from, "--name", name, "--", "sh", "-c", script]);
    assert_eq!(output.status, 0, "{output:#?}");
    let server = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux tells it");
    let modules = pool
        .half(&format!("nog/{name}"), "root")
        .join("usr/lib/modules");
    assert!(!modules.join(server.trim()).exists(), "{output:#?}");
    netbe.ok("check nog");
    let left = pool.half(&format!("nog/{name}"), "root").join("etc");
    let left = Command::new("grep")
        .args(["-rlF", "10.0.2.3"])
        .arg(&left)
        .output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "");
}

/// Imports a Debian as a node `nog` that has the lists of its packages in `nog/lists`, and a name server of its own.
fn nog(pool: &Pool) {
    let netbe = pool.netbe();
    netbe.ok(&format!("import debian {}", real(&[]).display()));
    netbe.ok("create nog/first --mac 52:54:00:00:00:01");
    fs::write(pool.half("nog/first", "root").join(RESOLVER), OWN).unwrap();
    installed(pool, "nog/first", "lists", "apt-get update");
}

/// The ways in which hooks ask for the root's device and type: those of raspi-firmware, initramfs-tools, cryptsetup and others.
const ROOT: &str = r#"test "$(findmnt --noheading --first-only --nofsroot --output=source,fstype / | tr -s ' ')" = 'server:/ nfs'
    test "$(awk '$2 == "/" { print $1, $3 }' /proc/mounts)" = 'server:/ nfs'
    test "$(mount | sed -n 's/ on \/ type \([^ ]*\) .*/ \1/p')" = 'server:/ nfs'
    test "$(df --output=source,fstype / | tail -n 1 | tr -s ' ')" = 'server:/ nfs'"#;

const RESOLVER: &str = "etc/resolv.conf";
const OWN: &str = "nameserver 192.0.2.1\n";

#[test]
fn a_manager_of_resolv_conf_keeps_and_restores_the_nodes_file() {
    let pool = Pool::new();
    nog(&pool);
    let place = |name: &str| pool.half(&format!("nog/{name}"), "root").join(RESOLVER);
    let resolved = "../run/systemd/resolve/stub-resolv.conf";
    let resolvconf = "../run/resolvconf/resolv.conf";
    for (package, link) in [
        ("systemd-resolved", Some(resolved)),
        ("resolvconf", Some(resolvconf)),
        ("openresolv", None),
    ] {
        installed(&pool, "nog/lists", package, &format!("{INSTALL} {package}"));
        let told = fs::read_link(place(package)).ok();
        assert_eq!(told.as_deref(), link.map(Path::new));
        // As by an upgrade of it; names are still found afterwards, in the same run.
        let again = format!("{package}-again");
        let script =
            format!("{INSTALL} --reinstall {package} && grep -q ^nameserver /etc/resolv.conf");
        installed(&pool, &format!("nog/{package}"), &again, &script);
        assert_eq!(
            fs::read_link(place(&again)).ok().as_deref(),
            link.map(Path::new)
        );
        let purged = format!("{package}-purged");
        let script = format!("apt-get -y purge {package}");
        installed(&pool, &format!("nog/{again}"), &purged, &script);
        assert_eq!(
            fs::read_to_string(place(&purged)).unwrap(),
            OWN,
            "{package}"
        );
    }
}

#[test]
fn hooks_of_boot_loaders_kernels_and_initramfs_do_not_see_this_server() {
    let pool = Pool::new();
    nog(&pool);
    let files = |name: &str, half: &str, directory: &str| -> Vec<String> {
        let directory = pool.half(&format!("nog/{name}"), half).join(directory);
        let entries = fs::read_dir(directory).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    // In one run with what follows it, so nothing of it was there at the start.
    let signed = match std::env::consts::ARCH {
        "x86_64" => "grub-efi-amd64-signed shim-signed",
        _ => "",
    };
    let grub = format!(
        "{INSTALL} grub-efi-$(dpkg --print-architecture) {signed} && touch /boot/grub/grub.cfg && update-grub; set -e; {ROOT}"
    );
    installed(&pool, "nog/lists", "grub", &grub);

    // A module is built for the environment's kernel.
    let build = format!("{INSTALL} linux-headers-$(uname -r) acpi-call-dkms");
    installed(&pool, "nog/grub", "built", &build);
    let [old] = files("built", "root", "usr/lib/modules")
        .try_into()
        .unwrap();
    let module = |kernel: &str| format!("usr/lib/modules/{kernel}/updates/dkms");
    assert_eq!(files("built", "root", &module(&old)), ["acpi_call.ko"]);

    // A new kernel has it, too; without the old one, nothing of that is left. MODULES=dep, which finds no disk here, comes in
    // the same run.
    let dep = "cd /etc/initramfs-tools/conf.d && rm network-boot && echo MODULES=dep > dep";
    let kernel = "linux-image-cloud-$(dpkg --print-architecture) linux-headers-cloud-$(dpkg --print-architecture)";
    let script = format!(
        "{dep} && {INSTALL} {kernel} && modinfo -n acpi_call && apt-get -y purge linux-image-{old} linux-headers-{old}"
    );
    installed(&pool, "nog/built", "kernel", &script);
    let [new] = files("kernel", "root", "usr/lib/modules")
        .try_into()
        .unwrap();
    assert_ne!(new, old);
    assert_eq!(files("kernel", "root", &module(&new)), ["acpi_call.ko"]);
    let boot = files("kernel", "boot", "");
    assert!(!boot.iter().any(|name| name.contains(&old)), "{boot:?}");
    assert_eq!(
        files("kernel", "root", "etc/initramfs-tools/conf.d"),
        ["dep"]
    );

    // They look for the disk under the root, and make an initramfs.
    let disks = format!("{INSTALL} cryptsetup-initramfs lvm2 mdadm && update-initramfs -u -k all");
    installed(&pool, "nog/lists", "disks", &disks);

    let dracut = format!("{INSTALL} dbus dracut dracut-network nfs-common");
    installed(&pool, "nog/lists", "dracut", &dracut);

    // Debian has it for arm only; it is scripts. Its trigger makes an initramfs, and calls it.
    let flash = "dpkg --add-architecture arm64 && apt-get -q update && cd /tmp && apt-get download flash-kernel:arm64 && \
                 DEBIAN_FRONTEND=noninteractive dpkg --force-architecture,depends -i flash-kernel*.deb && flash-kernel";
    installed(&pool, "nog/lists", "flash", flash);
}
