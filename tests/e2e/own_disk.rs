//! A PC whose kernel comes over the network, and whose root is on its own disk.

use crate::machine::{Machine, Running};
use crate::scene::{self, Scene};
use crate::server::{DISK_OF_MACHINE, Server};

const MAC: &str = "52:54:00:64:69:73";
/// How its system finds the network, which nothing has set up before.
const FURNISH: &str = "printf '[Match]\\nName=en*\\n[Network]\\nDHCP=ipv4\\n' >/etc/systemd/network/wired.network && \
    systemctl enable systemd-networkd";

/// Looks where its root is: in the subvolume of an environment.
fn is_on_disk(machine: &mut Running, environment: &str) {
    let root = machine.ok("findmnt -n -o FSTYPE,OPTIONS /");
    assert!(
        root.starts_with("btrfs ") && root.contains(&format!("subvol=/netbe/{environment}-")),
        "{root}"
    );
}

#[test]
fn a_pc_with_its_root_on_its_disk_is_upgraded_and_goes_back() {
    let scene = Scene::with_disk_of_machine("own_disk");
    let server = &scene.server;
    server.ok(&format!("netbe run debian -- sh -ec \"{FURNISH}\""));
    server.create(&format!("nog/first --mac {MAC}"));
    server.ok("netbe deploy nog /dev/ubdb1");

    let machine = scene
        .machine("nog", MAC)
        .with_disk(&scene.directory().join(DISK_OF_MACHINE));
    let mut nog = machine.power_on();
    nog.wait_until_up();
    is_on_disk(&mut nog, "first");
    nog.is_well();
    // Its kernel's own upgrades reach the server, and its report does.
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot"), "nfs4\n");
    let status = server.ok("netbe status nog");
    assert!(
        status.contains("booted   first, since ") && status.contains("report"),
        "{status}"
    );
    nog.ok("echo 10.77.0.9 nas >>/etc/hosts && systemctl stop systemd-journald && sync");
    drop(nog);

    server.offer_greeting("2.0");
    server.ok("netbe upgrade --node nog --name second");
    let deployed = server.run("netbe deploy nog/second /dev/ubdb1");
    assert_eq!(deployed.status, 0, "{deployed:?}");
    assert!(deployed.stderr.contains("/etc/hosts"), "{deployed:?}");
    server.ok("netbe activate --try nog/second");
    let mut nog = machine.power_on();
    let output = nog.wait_until_up();
    assert!(output.contains("greeting 2.0."), "{output}");
    is_on_disk(&mut nog, "second");
    server.wait_until_active("nog", "second");
    server.ok("netbe rollback nog");
    if scene::is_whole() {
        nog.restart();
        nog.wait_until_up();
        is_on_disk(&mut nog, "first");
        assert!(nog.ok("cat /etc/hosts").contains("10.77.0.9 nas\n"));
        drop(nog);
        on_ext4_and_back(server, &machine);
    }
    server.ok("netbe publish && netbe check");
}

/// Tells it of a root that is a whole ext4, on the other partition; the one in a subvolume stays what it goes back to.
fn on_ext4_and_back(server: &Server, machine: &Machine) {
    server.ok("netbe create nog/third -a");
    server.ok("netbe deploy nog --filesystem ext4 /dev/ubdb2");
    let mut nog = machine.power_on();
    nog.wait_until_up();
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /"), "ext4\n");
    nog.is_well();
    let status = server.ok("netbe status nog");
    assert!(status.contains("booted   third, since "), "{status}");
    server.ok("netbe rollback nog");
    nog.restart();
    nog.wait_until_up();
    is_on_disk(&mut nog, "first");
}
