//! A node for any machine: dnsmasq answers those that no node names, too, each in its own way.

use std::fs;
use std::net::Ipv4Addr;

use super::{PI, STRANGER, served};
use crate::access::with_web;
use crate::network::{Asks, BIOS, IPXE, Network, UEFI};
use crate::support::{MAC, Pool, SERVER, System};

/// The nodes `nog` and `rom`, and `web` for every other machine.
fn with_any() -> Pool {
    let pool = with_web();
    pool.import("pi/stock", &System::raspberry_pi());
    pool.netbe().ok("set --force mac=any web");
    for (node, from, mac) in [("nog", "base", MAC), ("rom", "pi", PI.mac)] {
        let line = format!("create {node}/a --from {from} --mac {mac}");
        pool.netbe().ok(&line);
    }
    pool
}

/// Leaves a machine out, as an administrator does.
fn leave_out(mac: &str) {
    let line = format!("dhcp-host={mac},set:netbe-not\n");
    fs::write("/etc/dnsmasq.d/zz-mine.conf", line).unwrap();
}

fn restart(network: &mut Network) {
    network.stop_dnsmasq();
    network.start_dnsmasq();
}

#[test]
fn a_proxy_answers_every_machine_with_the_file_of_its_node() {
    let pool = with_any();
    let mut network = served(&pool);
    let told = |network: &Network, asks: Asks<'_>, words: &[u8]| {
        let offer = network.offered(asks);
        let text = offer.option(43).unwrap().to_vec();
        assert_eq!(offer.address, Ipv4Addr::UNSPECIFIED);
        text.windows(words.len()).any(|part| part == words)
    };
    assert!(told(&network, STRANGER, b"netbe"));
    assert!(told(&network, BIOS, b"netbe"));
    assert!(told(&network, PI, b"Raspberry Pi Boot") && !told(&network, PI, b"netbe"));
    leave_out(STRANGER.mac);
    restart(&mut network);
    network.offered(BIOS);
    assert!(
        network
            .discover(STRANGER)
            .is_none_or(|offer| offer.option(43).is_none())
    );
    fs::remove_file("/etc/dnsmasq.d/zz-mine.conf").unwrap();
    pool.netbe().ok("set mac= web --force");
    restart(&mut network);
    assert_eq!(network.discover(STRANGER), None);
    pool.assert_sound();
}

#[test]
fn with_a_range_every_machine_gets_one_address_and_the_file_for_its_firmware() {
    let pool = with_any();
    pool.netbe().ok("set dhcp=192.0.2.100-192.0.2.110");
    let mut network = served(&pool);
    let stranger = |asks: Asks<'static>| Asks {
        mac: STRANGER.mac,
        ..asks
    };
    let server: Ipv4Addr = SERVER.parse().unwrap();
    let mut addresses = Vec::new();
    for (asks, file) in [
        (BIOS, "pxelinux.0"),
        (UEFI, "shimx64.efi"),
        (IPXE, "netbe.ipxe"),
    ] {
        let offer = network.offered(stranger(asks));
        assert_eq!(
            (offer.boot_file().as_str(), offer.next_server),
            (file, server)
        );
        addresses.push(offer.address);
    }
    assert!(addresses.iter().all(|address| *address == addresses[0]));
    assert_eq!(network.offered(PI).boot_file(), "");
    assert_eq!(network.offered(BIOS).option(12), Some(&b"nog"[..]));
    leave_out(STRANGER.mac);
    restart(&mut network);
    assert_eq!(network.offered(STRANGER).boot_file(), "");
    assert!(!network.log().contains("duplicate"), "{}", network.log());
}
