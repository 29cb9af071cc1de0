//! A PC boots, is upgraded while it runs, boots the new one, and goes back.

use crate::scene::Scene;
use crate::systems;

const MAC: &str = "52:54:00:6e:6f:67";

#[test]
fn a_pc_boots_is_upgraded_while_it_runs_and_goes_back() {
    let scene = Scene::new("a_pc");
    let server = &scene.server;
    let debian = systems::real(&[]);
    server.ok(&format!("netbe import debian {}", debian.display()));
    server.ok("netbe set cmdline='console=ttyS0'");
    server.ok(&format!("netbe create nog/first --mac {MAC}"));
    server.serve_addresses(
        "dhcp-range=10.77.0.100,10.77.0.200,1h\nenable-tftp\ntftp-root=/srv/netbe/tftp\ntftp-unique-root=mac\n\
         dhcp-boot=pxelinux.0",
    );
    let mut nog = scene.machine("nog", MAC).power_on();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    println!("{}", nog.ok("systemctl is-system-running --wait; systemctl --failed; systemd-analyze; systemd-analyze blame | head -20; cat /proc/mounts; cat /etc/fstab; journalctl -b -p warning --no-pager | tail -30"));
}
