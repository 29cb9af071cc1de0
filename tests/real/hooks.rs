//! Hooks of real packages, which look for the machine they run on: boot loaders, kernels, initramfs makers, resolvers, dkms.
//!
//! Each is installed in a copy, of which netbe then says that it boots. What they saw of this server must not be in it.

use std::fs;
use std::path::Path;

use super::real;
use super::support::Pool;

/// Installs without questions, as an upgrade does.
const INSTALL: &str =
    "export DEBIAN_FRONTEND=noninteractive; apt-get -y --no-install-recommends install";

/// Installs packages in a copy of `from`, by a script; what comes of it boots, and has nothing for this server's kernel.
fn installed(pool: &Pool, from: &str, name: &str, script: &str) {
    let netbe = pool.netbe();
    let said = netbe.run_with(&["upgrade", from, "--name", name, "--", "sh", "-c", script]);
    assert_eq!(said.status, 0, "{said:#?}");
    let server = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux tells it");
    let modules = pool
        .half(&format!("nog/{name}"), "root")
        .join("usr/lib/modules");
    assert!(!modules.join(server.trim()).exists(), "{said:#?}");
    netbe.ok("check nog");
}

#[test]
fn hooks_of_real_packages_end_well_and_see_nothing_of_this_server() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    netbe.ok(&format!("import debian {}", real(&[]).display()));
    netbe.ok("create nog/first --mac 52:54:00:00:00:01");
    installed(&pool, "nog/first", "lists", "apt-get update");
    let link = |name: &str| {
        let path = pool
            .half(&format!("nog/{name}"), "root")
            .join("etc/resolv.conf");
        fs::read_link(path).unwrap()
    };
    installed(
        &pool,
        "nog/lists",
        "resolved",
        &format!("{INSTALL} systemd-resolved"),
    );
    assert_eq!(
        link("resolved"),
        Path::new("../run/systemd/resolve/stub-resolv.conf")
    );
    installed(
        &pool,
        "nog/lists",
        "resolvconf",
        &format!("{INSTALL} resolvconf"),
    );
    assert_eq!(
        link("resolvconf"),
        Path::new("../run/resolvconf/resolv.conf")
    );
    let grub = "grub-efi-$(dpkg --print-architecture) dkms";
    installed(&pool, "nog/lists", "grub", &format!("{INSTALL} {grub}"));

    // With MODULES=dep, which finds no disk here, and with dracut, both for any machine.
    let dep = "echo MODULES=dep > /etc/initramfs-tools/conf.d/dep";
    let new = format!("{dep}; {INSTALL} linux-image-$(dpkg --print-architecture)");
    installed(&pool, "nog/lists", "kernel", &new);
    let dracut = format!("{INSTALL} dbus dracut dracut-network nfs-common");
    installed(&pool, "nog/lists", "dracut", &dracut);
}
