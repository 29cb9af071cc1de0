//! A PC whose kernel comes over the network, and whose root is a disk that the server offers by iSCSI.

use crate::machine::Running;
use crate::scene::{self, Scene};
use crate::systems;

const MAC: &str = "52:54:00:69:73:63";

/// Looks where its root is, and that what an environment has to be there is.
fn is_by_iscsi(machine: &mut Running, environment: &str) {
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /"), "ext4\n");
    let line = machine.ok("cat /proc/cmdline");
    let name = format!(":nog:{environment} ");
    assert!(line.contains(&name) && !line.contains("nfsroot"), "{line}");
    // Its kernel's own upgrades reach the server.
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /boot"), "nfs4\n");
}

#[test]
fn a_pc_with_its_root_by_iscsi_is_upgraded_and_goes_back() {
    // While the machine's own network is within reach.
    let packages = systems::open_iscsi();
    let scene = Scene::new("iscsi");
    let server = &scene.server;
    server.bring_in_debian();
    server.ok(&format!(
        "cp {}/*.deb /srv/netbe/nodes/debian/envs/*/root/root/ && netbe run debian -- sh -ec 'echo sd_mod \
         >>/etc/initramfs-tools/modules && dpkg -i /root/*.deb && rm /root/*.deb'",
        packages.display()
    ));
    server.ok("netbe set root=iscsi");
    server.create(&format!("nog/first --mac {MAC}"));

    let machine = scene.machine("nog", MAC);
    let mut nog = machine.power_on();
    nog.wait_until_up();
    is_by_iscsi(&mut nog, "first");
    nog.is_well();
    let status = server.ok("netbe status nog");
    assert!(
        status.contains("booted   first, since ") && status.contains("report"),
        "{status}"
    );
    nog.ok("echo mine >/etc/mark && sync");

    server.offer_greeting("2.0");
    // While nog writes to its disk.
    server.ok("netbe upgrade --node nog --name second");
    nog.ok("echo later >/etc/mark && sync");
    server.ok("netbe activate --try nog/second");
    nog.restart();
    let said = nog.wait_until_up();
    assert!(said.contains("greeting 2.0."), "{said}");
    is_by_iscsi(&mut nog, "second");
    assert_eq!(nog.ok("cat /etc/mark"), "mine\n");
    server.wait_until_active("nog", "second");
    server.ok("netbe rollback nog");
    if scene::is_whole() {
        nog.restart();
        nog.wait_until_up();
        is_by_iscsi(&mut nog, "first");
        assert_eq!(nog.ok("cat /etc/mark"), "later\n");
    }
    server.ok("netbe publish && netbe check");
}
