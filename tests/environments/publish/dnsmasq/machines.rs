//! The answers of dnsmasq to machines: each gets its own file, and a stranger none.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use super::{PI, STRANGER, include, served, with_nodes};
use crate::network::{
    Asks, BIOS, IPXE, IPXE_ARM64, Network, Offer, U_BOOT, UEFI, UEFI_ARM64, UEFI_HTTP,
    UEFI_HTTP_ARM64,
};
use crate::serve::Serve;
use crate::support::{MAC, Pool, SERVER, run};

/// What a Raspberry Pi boots by: without these words it takes no answer for its own.
const PI_BOOT: &[u8] = b"Raspberry Pi Boot";

/// Returns whether these words are in what firmware is told beside the address: DHCP option 43.
fn is_told(offer: &Offer, words: &[u8]) -> bool {
    let told = offer.option(43).unwrap();
    told.windows(words.len()).any(|w| w == words)
}

fn is_told_at_all(offer: &Offer, words: &[u8]) -> bool {
    offer.option(43).is_some() && is_told(offer, words)
}

#[test]
fn dnsmasq_serves_no_files_and_runs_no_script() {
    let pool = with_nodes();
    // As an older netbe left it.
    let script = pool.at("publish/dnsmasq-script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    pool.write("publish/dnsmasq.conf", "enable-tftp\n");
    include(&pool);
    let output = pool.netbe().run("publish");
    assert!(
        output.stderr.contains("netbe init --services"),
        "{output:#?}"
    );
    assert!(script.symlink_metadata().is_err());
    let mut network = Network::new(&pool);
    network.start_dnsmasq();
    assert_eq!(network.fetch("pxelinux.cfg/default"), None);
    let text = pool.read("publish/dnsmasq.conf");
    let active: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(
        !active
            .iter()
            .any(|l| l.contains("tftp") || l.contains("script")),
        "{text}"
    );
}

#[test]
fn another_tftp_server_serves_by_the_links_where_it_is_let_through() {
    let pool = with_nodes();
    let mut network = Network::new(&pool);
    fs::write(
        "/etc/dnsmasq.d/mine.conf",
        format!(
            "port=0\nenable-tftp\ntftp-root={}\n",
            pool.at("tftp").display()
        ),
    )
    .unwrap();
    network.start_dnsmasq();
    let name = format!("{}/pxelinux.cfg/default", MAC.replace(':', "-"));
    assert_eq!(network.fetch(&name), None);
    run(Command::new("setfacl")
        .args(["-m", "u:nobody:x"])
        .arg(pool.at("nodes")));
    let text = pool.boot_text("nog/a");
    assert_eq!(network.fetch(&name), Some(text.into_bytes()));
    pool.netbe().ok("create nog/b -a");
    let text = pool.boot_text("nog/b");
    assert_eq!(network.fetch(&name), Some(text.into_bytes()));
}

#[test]
fn a_proxy_answers_each_machine_with_its_own_file_and_no_stranger() {
    let pool = with_nodes();
    let network = served(&pool);
    let pi = network.offered(PI);
    assert!(is_told(&pi, PI_BOOT), "{pi:?}");
    assert_eq!(
        (pi.address, pi.option(60)),
        (Ipv4Addr::UNSPECIFIED, Some(&b"PXEClient"[..]))
    );
    let pc = network.offered(BIOS);
    assert!(!is_told(&pc, PI_BOOT), "{pc:?}");
    assert!(is_told(&pc, b"netbe"), "{pc:?}");
    assert_eq!(network.discover(STRANGER), None);
    // It does not ask proxies.
    assert_eq!(network.discover(U_BOOT), None);
}

#[test]
fn a_range_gives_addresses_and_boot_files() {
    let pool = with_nodes();
    pool.netbe().ok("set dhcp=192.0.2.100-192.0.2.110");
    pool.netbe().ok("set ip=dhcp,192.0.2.50 nog");
    pool.netbe().ok("set ip=192.0.2.51/24 rom");
    let network = served(&pool);
    let server: Ipv4Addr = SERVER.parse().unwrap();
    let pc = network.offered(BIOS);
    assert_eq!(pc.address, Ipv4Addr::new(192, 0, 2, 50));
    assert_eq!(
        (pc.boot_file().as_str(), pc.next_server),
        ("pxelinux.0", server)
    );
    assert_eq!(pc.option(12), Some(&b"nog"[..]));
    // The server is no router, and dnsmasq would say it is.
    assert_eq!(pc.option(3), None, "{pc:?}");
    let u_boot = network.offered(U_BOOT);
    assert_eq!(
        (u_boot.boot_file().as_str(), u_boot.next_server),
        ("pxelinux.0", server)
    );
    let uefi = network.offered(UEFI);
    assert_eq!(
        (uefi.boot_file().as_str(), uefi.next_server),
        ("shimx64.efi", server)
    );
    let pi = network.offered(PI);
    assert_eq!(pi.address, Ipv4Addr::new(192, 0, 2, 51));
    assert!(is_told(&pi, PI_BOOT), "{pi:?}");
    assert_eq!(pi.boot_file(), "");
    let other = network.offered(STRANGER);
    assert_eq!(other.boot_file(), "");
    assert!(
        (100..=110).contains(&other.address.octets()[3]),
        "{other:?}"
    );
    assert!(!network.log().contains("duplicate"), "{}", network.log());
}

#[test]
fn one_configuration_answers_every_kind_of_firmware_each_with_its_own_file() {
    let pool = with_nodes();
    pool.netbe()
        .ok("set dhcp=192.0.2.100-192.0.2.110 http=8080");
    let network = served(&pool);
    let url = |file: &str| format!("http://{SERVER}:8080/{file}");
    let kinds = [
        (BIOS, "pxelinux.0".to_string()),
        (U_BOOT, "pxelinux.0".to_string()),
        (UEFI, "shimx64.efi".to_string()),
        (UEFI_ARM64, "shimaa64.efi".to_string()),
        (IPXE, url("netbe.ipxe")),
        (IPXE_ARM64, url("netbe.ipxe")),
        (UEFI_HTTP, url("snponly.efi")),
        (UEFI_HTTP_ARM64, url("snponlyaa64.efi")),
        (PI, String::new()),
    ];
    for (asks, file) in kinds {
        let offer = network.offered(asks);
        assert_eq!(offer.boot_file(), file, "{asks:?}");
        // Firmware that boots by HTTP takes no other answer.
        let by_http = asks.vendor.starts_with("HTTPClient");
        let class = offer.option(60).unwrap_or_default();
        assert_eq!(class.starts_with(b"HTTPClient"), by_http, "{offer:?}");
        assert_eq!(is_told_at_all(&offer, PI_BOOT), asks.mac == PI.mac);
    }
    let stranger = Asks {
        mac: STRANGER.mac,
        ..UEFI_HTTP
    };
    assert_eq!(network.offered(stranger).boot_file(), "");
    assert!(!network.log().contains("duplicate"), "{}", network.log());
}

#[test]
fn without_http_no_answer_has_a_url() {
    let pool = with_nodes();
    pool.netbe().ok("set dhcp=192.0.2.100-192.0.2.110");
    let network = served(&pool);
    assert_eq!(network.offered(IPXE).boot_file(), "netbe.ipxe");
    for asks in [UEFI_HTTP, UEFI_HTTP_ARM64] {
        assert_eq!(network.offered(asks).boot_file(), "");
    }
}

#[test]
fn machines_come_and_go_and_activating_needs_no_restart() {
    let pool = with_nodes();
    let mut network = served(&pool);
    let restarted = |network: &mut Network, line: &str| {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{output:#?}");
        network.stop_dnsmasq();
        network.start_dnsmasq();
        assert_eq!(pool.netbe().run("publish").stderr, "", "{line}");
    };
    assert_eq!(network.discover(STRANGER), None);
    restarted(
        &mut network,
        &format!("create new/a --from base --mac {}", STRANGER.mac),
    );
    network.offered(STRANGER);
    for line in ["create nog/b -a", "rollback nog", "create rom/b"] {
        let output = pool.netbe().run(line);
        assert!(!output.stderr.contains("dnsmasq"), "{output:#?}");
    }
    restarted(&mut network, "set mac= new");
    pool.netbe().ok("destroy -y -r new");
    assert!(!pool.at("publish/dnsmasq-hosts/new").exists());
    assert_eq!(network.discover(STRANGER), None);
    // By its loader a machine is told what to fetch.
    restarted(&mut network, "set loader=rpi nog");
    let pc = network.offered(BIOS);
    assert!(is_told(&pc, PI_BOOT), "{pc:?}");
    // An administrator's SIGHUP does it no harm.
    let pid = fs::read_to_string("/run/dnsmasq/dnsmasq.pid").unwrap();
    run(Command::new("kill").args(["-HUP", pid.trim()]));
    network.offered(BIOS);
    restarted(&mut network, "set loader= nog");
    pool.assert_sound();
}

#[test]
fn a_serial_alone_lets_raspberry_pis_in_and_no_other_machine() {
    let pool = with_nodes();
    pool.netbe().ok("set mac= serial=9ffefdef rom");
    assert!(!pool.at("publish/dnsmasq-hosts/rom").exists());
    let network = served(&pool);
    network.offered(PI);
    let by_id = Asks {
        id: b"RPi5",
        ..STRANGER
    };
    network.offered(by_id);
    assert_eq!(network.discover(STRANGER), None);
    // And its folder by its serial.
    let _serve = Serve::start(&pool);
    let text = fs::read_to_string(pool.half("rom/a", "boot").join("cmdline.txt")).unwrap();
    pool.netbe().ok("set mac= nog");
    assert_eq!(
        network.fetch("9ffefdef/cmdline.txt"),
        Some(text.into_bytes())
    );
}

#[test]
fn a_renamed_node_keeps_its_entry_and_a_duplicate_address_warns() {
    let pool = with_nodes();
    let host = |node: &str| pool.read(&format!("publish/dnsmasq-hosts/{node}"));
    pool.netbe().ok("set dhcp=192.0.2.100-192.0.2.110");
    assert_eq!(
        host("rom"),
        "dhcp-host=dc:a6:32:0a:0b:0c,id:*,set:netbe,set:netbe-rpi,rom\n"
    );
    pool.netbe().ok("set ip=dhcp,192.0.2.50 nog");
    assert_eq!(
        host("nog"),
        format!("dhcp-host={MAC},id:*,set:netbe,set:netbe-pxelinux,192.0.2.50,nog\n")
    );
    let line = "set ip=dhcp,192.0.2.50 rom";
    pool.refuses(3, line, &["nog already has ip 192.0.2.50"]);
    // As an older netbe allowed it.
    let record = pool.read("nodes/rom/node.json");
    let twice = record.replace("\"mac\"", "\"ip\": \"dhcp,192.0.2.50\", \"mac\"");
    pool.write("nodes/rom/node.json", &twice);
    let output = pool.netbe().run("publish");
    assert!(
        output
            .stderr
            .contains("nog and rom both have the address 192.0.2.50"),
        "{output:#?}"
    );
    assert!(!host("rom").contains("192.0.2.50"));
    pool.netbe().ok("set ip= rom");
    // Off the network its machine runs nothing.
    pool.netbe().ok("set mac= rom");
    pool.netbe().ok("rename rom ram");
    pool.netbe().ok(&format!("set mac={} ram", PI.mac));
    assert_eq!(
        host("ram"),
        "dhcp-host=dc:a6:32:0a:0b:0c,id:*,set:netbe,set:netbe-rpi,ram\n"
    );
    assert!(!pool.at("publish/dnsmasq-hosts/rom").exists());
    pool.assert_sound();
}

#[test]
fn a_reserved_address_is_the_only_client_and_the_command_line_asks_dhcp() {
    let pool = Pool::with_template();
    pool.netbe()
        .ok(&format!("create nog/a --mac {MAC} --ip dhcp,192.0.2.50"));
    assert!(pool.read("publish/exports").contains(" 192.0.2.50("));
    assert!(
        pool.boot_text("nog/a").contains(" ip=dhcp\n"),
        "{}",
        pool.boot_text("nog/a")
    );
    assert!(
        pool.netbe()
            .ok("get -H ip nog")
            .contains("dhcp,192.0.2.50\tlocal")
    );
    assert_eq!(
        pool.netbe().ok("get -H clients nog"),
        "nog\tclients\t192.0.2.50\tdefault\n"
    );
    // Another server hands out the addresses, and it is not told of what is not ours to give.
    assert!(
        !pool
            .read("publish/dnsmasq-hosts/nog")
            .contains("192.0.2.50")
    );
    pool.refuses(
        2,
        "set ip=dhcp,192.0.2.50/24 nog",
        &["ip=dhcp,192.0.2.50/24", "it is dhcp, dhcp,ADDR"],
    );
    pool.refuses(
        2,
        "set dhcp=off nog",
        &["dhcp is set on the pool", "hint: netbe set dhcp=off"],
    );
    pool.refuses(2, "set dhcp=192.0.2.9-192.0.2.1", &["comes after"]);
}
