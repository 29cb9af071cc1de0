//! The configuration of dnsmasq: dnsmasq accepts it, and it is readable, whatever the records contain.
//!
//! It is a real one, on a network of the test's own.

mod for_any;
mod machines;
mod packaged_units;
mod pools;
mod services;
mod without_systemd;

use std::fs;

use crate::network::{Asks, BIOS, Network, judge};
use crate::support::{MAC, Pool, System};

/// The MAC address of a Raspberry Pi, and of a machine that nobody knows.
const PI: Asks<'static> = Asks {
    mac: "dc:a6:32:0a:0b:0c",
    ..BIOS
};
const STRANGER: Asks<'static> = Asks {
    mac: "02:00:00:00:00:99",
    ..BIOS
};

/// Returns a pool with templates of both kinds, and the nodes `nog`, a PC, and `rom`, a Raspberry Pi.
fn with_nodes() -> Pool {
    let pool = Pool::with_template();
    pool.import("pi/stock", &System::raspberry_pi());
    let netbe = pool.netbe();
    netbe.ok(&format!("create nog/a --from base --mac {MAC}"));
    netbe.ok(&format!("create rom/a --from pi --mac {}", PI.mac));
    pool
}

/// Has dnsmasq read the pool's configuration, as `init --services` does.
fn include(pool: &Pool) {
    fs::write(
        "/etc/dnsmasq.d/netbe.conf",
        format!(
            "conf-file={}/publish/dnsmasq.conf\n",
            pool.state().display()
        ),
    )
    .unwrap();
}

fn served(pool: &Pool) -> Network {
    let mut network = Network::new(pool);
    include(pool);
    pool.netbe().ok("publish");
    network.start_dnsmasq();
    network
}

#[test]
fn every_configuration_is_one_that_dnsmasq_takes() {
    let pool = with_nodes();
    let _network = Network::new(&pool);
    for administrator in [None, Some("port=5353\n")] {
        if let Some(text) = administrator {
            fs::write("/etc/dnsmasq.d/mine.conf", text).unwrap();
        }
        for line in [
            "set dhcp=proxy",
            "set dhcp=192.0.2.100-192.0.2.200",
            "set serial=9ffefdef mac= rom",
            "set dhcp=off",
            "set dhcp=",
            "set mac=dc:a6:32:0a:0b:0c rom",
        ] {
            pool.netbe().ok(line);
            pool.netbe().ok("publish");
            include(&pool);
            judge(&["--conf-dir=/etc/dnsmasq.d"]);
            fs::remove_file("/etc/dnsmasq.d/netbe.conf").unwrap();
            assert_eq!(
                pool.netbe().ok("publish"),
                "Everything is published already.\n"
            );
        }
    }
    pool.assert_sound();
}

#[test]
fn a_changed_configuration_asks_for_a_restart_until_it_was() {
    let pool = with_nodes();
    let mut network = served(&pool);
    let output = pool.netbe().run("set dhcp=192.0.2.100-192.0.2.110");
    assert!(
        output
            .stderr
            .contains("warning: dnsmasq runs with an older configuration"),
        "{output:#?}"
    );
    assert_eq!(pool.netbe().run("check").status, 1);
    assert_eq!(network.discover(STRANGER), None);
    network.stop_dnsmasq();
    network.start_dnsmasq();
    assert_eq!(pool.netbe().run("publish").stderr, "");
    network.offered(STRANGER);
    pool.assert_sound();
}

#[test]
fn invariant_6_a_node_with_an_unreadable_record_stays_in_dnsmasqs_files() {
    let pool = with_nodes();
    pool.netbe().ok("set mac= serial=9ffefdef rom");
    let before = pool.read("publish/dnsmasq-hosts/nog");
    for node in ["nog", "rom"] {
        pool.write(&format!("nodes/{node}/node.json"), "garbage");
    }
    let output = pool.netbe().run("publish");
    assert_eq!(
        output.stdout, "Everything is published already.\n",
        "{output:#?}"
    );
    assert_eq!(pool.read("publish/dnsmasq-hosts/nog"), before);
    assert!(pool.read("publish/dnsmasq.conf").contains("netbe-pi"));
}
