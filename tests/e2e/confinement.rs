//! A machine alone on a network of two addresses, and what others get of its environments.

use crate::machine::Machine;
use crate::scene::Scene;
use crate::uml::{Uml, Wish};

const MAC: &str = "52:54:00:61:6c:6f";
const ROOT: &str = "/srv/netbe/nodes/nog/envs/first/root";

/// Mounts a root, looks into it, and lets go of it.
fn mount(version: &str, server: &str, path: &str) -> String {
    format!(
        "mkdir -p /mnt/it && mount -t nfs -o vers={version},nolock,soft,retry=0 {server}:{path} /mnt/it && \\
         cat /mnt/it/etc/hostname && umount /mnt/it"
    )
}

#[test]
fn a_machine_with_a_network_of_its_own_boots_and_others_are_refused_its_root() {
    let scene = Scene::with_second_link("confinement", "10.77.4.1/30");
    let server = &scene.server;
    server.ok(&format!(
        "netbe create nog/first --mac {MAC} --ip 10.77.4.2/30,10.77.4.1"
    ));
    server.ok("netbe create open/first --mac 52:54:00:6f:70:65");
    // The ROM asks for an address in any case; that network is the administrator's to serve.
    server.ok("echo dhcp-range=10.77.4.2,10.77.4.2,255.255.255.252 >/etc/dnsmasq.d/nog.conf");
    server.restart_dnsmasq();

    scene.network.tap("nog", "second");
    let mut nog = Machine::new("nog", "nog", MAC, scene.directory()).power_on();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    let addresses = nog.ok("ip -4 -o address show scope global");
    assert!(addresses.contains(" 10.77.4.2/30 "), "{addresses}");
    let cmdline = nog.ok("cat /proc/cmdline");
    assert!(
        cmdline.contains(" ip=10.77.4.2::10.77.4.1:255.255.255.252:"),
        "{cmdline}"
    );
    nog.is_well();

    scene.network.tap("stranger", "shared");
    let wish = Wish {
        name: "stranger",
        links: &[("stranger", "10.77.0.66/24")],
        disk: None,
        of_machine: None,
    };
    let stranger = Uml::start(&wish, scene.directory());
    for version in ["3", "4.2"] {
        // What it may have, to know that it could.
        let open = ROOT.replace("/nog/", "/open/");
        let allowed = stranger.run(&mount(version, "10.77.0.1", &open));
        assert_eq!(
            (allowed.status, allowed.stdout.as_str()),
            (0, "open\n"),
            "{allowed:#?}"
        );
        let refused = stranger.run(&mount(version, "10.77.0.1", ROOT));
        assert_ne!(refused.status, 0, "{refused:#?}");
        let words = ["access denied", "No such file"];
        assert!(
            words.iter().any(|w| refused.stderr.contains(w)),
            "{refused:#?}"
        );
    }
    // Nor by the server's address on that other network.
    let refused = stranger.run(&format!(
        "ip route add 10.77.4.0/30 via 10.77.0.1; {}",
        mount("3", "10.77.4.1", ROOT)
    ));
    assert!(refused.stderr.contains("access denied"), "{refused:#?}");
}
