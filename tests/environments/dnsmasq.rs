//! What dnsmasq is given and does with it: a real one, on a network of the test's own.

mod network;
mod services;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::support::{MAC, Pool, System, install, run};
use network::{Asks, BIOS, CLIENT, Network, U_BOOT, UEFI, judge, wait_for};

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
        format!("conf-file={}/publish/dnsmasq.conf\n", pool.path().display()),
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
fn a_machine_gets_its_own_files_and_netbe_hears_of_each() {
    let pool = with_nodes();
    // The script names the program that published: here one that notes how it is called.
    let program = pool.beside().join("netbe");
    install(assert_cmd::cargo::cargo_bin!("netbe"), &program);
    let published = Command::new(&program)
        .arg("--pool")
        .arg(pool.path())
        .arg("publish")
        .output();
    assert!(published.unwrap().status.success());
    let script = pool.at("publish/dnsmasq-script");
    assert_eq!(
        script.metadata().unwrap().permissions().mode() & 0o777,
        0o755
    );
    let heard = pool.beside().join("heard");
    let text = pool.beside().join("text");
    fs::write(
        &text,
        format!("#!/bin/sh\necho \"$@\" >> '{}'\n", heard.display()),
    )
    .unwrap();
    install(&text, &program);

    let mut network = Network::new(&pool);
    include(&pool);
    network.start_dnsmasq();
    let boot = || String::from_utf8(network.fetch("pxelinux.cfg/default").unwrap()).unwrap();
    assert!(boot().contains("/nodes/nog/envs/a/root"), "{}", boot());
    assert_eq!(network.fetch("nonsense"), None);
    // Not by the name of another machine's folder either.
    assert_eq!(network.fetch("../../pool.json"), None);
    pool.netbe().ok("create nog/b -a");
    assert!(boot().contains("/nodes/nog/envs/b/root"), "{}", boot());
    pool.netbe().ok("rollback nog");
    let text = boot();
    assert!(text.contains("/nodes/nog/envs/a/root"), "{text}");
    let want = format!(
        "--pool {} transfer {} {CLIENT} {}/pxelinux.cfg/default\n",
        pool.path().display(),
        text.len(),
        pool.at("tftp/dc-a6-32-01-02-03").display()
    );
    wait_for("the last of the calls", || {
        fs::read_to_string(&heard).is_ok_and(|t| t.ends_with(&want))
    });
}

#[test]
fn a_proxy_tells_each_machine_its_own_and_strangers_nothing() {
    let pool = with_nodes();
    let network = served(&pool);
    let pi = network.discover(PI).expect("a Raspberry Pi is answered");
    let words = b"Raspberry Pi Boot";
    assert!(
        pi.option(43)
            .unwrap()
            .windows(words.len())
            .any(|w| w == words),
        "{pi:?}"
    );
    assert_eq!(
        (pi.address, pi.option(60)),
        (Ipv4Addr::UNSPECIFIED, Some(&b"PXEClient"[..]))
    );
    let pc = network.discover(BIOS).expect("a PC is answered");
    assert!(
        !pc.option(43)
            .unwrap()
            .windows(words.len())
            .any(|w| w == words),
        "{pc:?}"
    );
    assert!(
        pc.option(43).unwrap().windows(5).any(|w| w == b"netbe"),
        "{pc:?}"
    );
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
    let server: Ipv4Addr = super::support::SERVER.parse().unwrap();
    let pc = network.discover(BIOS).unwrap();
    assert_eq!(pc.address, Ipv4Addr::new(192, 0, 2, 50));
    assert_eq!(
        (pc.boot_file().as_str(), pc.next_server),
        ("pxelinux.0", server)
    );
    assert_eq!(pc.option(12), Some(&b"nog"[..]));
    // The server is no router, and dnsmasq would say it is.
    assert_eq!(pc.option(3), None, "{pc:?}");
    let u_boot = network.discover(U_BOOT).unwrap();
    assert_eq!(
        (u_boot.boot_file().as_str(), u_boot.next_server),
        ("pxelinux.0", server)
    );
    assert_eq!(network.discover(UEFI).unwrap().boot_file(), "");
    let pi = network.discover(PI).unwrap();
    assert_eq!(pi.address, Ipv4Addr::new(192, 0, 2, 51));
    let words = b"Raspberry Pi Boot";
    assert!(
        pi.option(43)
            .unwrap()
            .windows(words.len())
            .any(|w| w == words),
        "{pi:?}"
    );
    assert_eq!(pi.boot_file(), "");
    let other = network.discover(STRANGER).unwrap();
    assert_eq!(other.boot_file(), "");
    assert!(
        (100..=110).contains(&other.address.octets()[3]),
        "{other:?}"
    );
    assert!(!network.log().contains("duplicate"), "{}", network.log());
}

#[test]
fn machines_come_and_go_and_activating_needs_no_restart() {
    let pool = with_nodes();
    let mut network = served(&pool);
    let restarted = |network: &mut Network, line: &str| {
        let said = pool.netbe().run(line);
        assert_eq!(said.status, 0, "{said:#?}");
        network.stop_dnsmasq();
        network.start_dnsmasq();
        assert_eq!(pool.netbe().run("publish").stderr, "", "{line}");
    };
    assert_eq!(network.discover(STRANGER), None);
    restarted(
        &mut network,
        &format!("create new/a --from base --mac {}", STRANGER.mac),
    );
    assert!(network.discover(STRANGER).is_some(), "{}", network.log());
    for line in ["create nog/b -a", "rollback nog", "create rom/b"] {
        let said = pool.netbe().run(line);
        assert!(!said.stderr.contains("dnsmasq"), "{said:#?}");
    }
    restarted(&mut network, "set mac= new");
    pool.netbe().ok("destroy -y -r new");
    assert!(!pool.at("publish/dnsmasq-hosts/new").exists());
    assert_eq!(network.discover(STRANGER), None);
    // By its loader a machine is told what to fetch.
    restarted(&mut network, "set loader=rpi nog");
    let pc = network.discover(BIOS).unwrap();
    let offered = pc.option(43).unwrap();
    assert!(offered.windows(9).any(|w| w == b"Raspberry"), "{pc:?}");
    // An administrator's SIGHUP does it no harm.
    let pid = fs::read_to_string("/run/dnsmasq/dnsmasq.pid").unwrap();
    run(Command::new("kill").args(["-HUP", pid.trim()]));
    assert!(network.discover(BIOS).is_some(), "{}", network.log());
    restarted(&mut network, "set loader= nog");
    pool.assert_sound();
}

#[test]
fn a_changed_configuration_asks_for_a_restart_until_it_was() {
    let pool = with_nodes();
    let mut network = served(&pool);
    let said = pool.netbe().run("set dhcp=192.0.2.100-192.0.2.110");
    assert!(
        said.stderr
            .contains("warning: dnsmasq runs with an older configuration"),
        "{said:#?}"
    );
    assert_eq!(pool.netbe().run("check").status, 1);
    assert_eq!(network.discover(STRANGER), None);
    network.stop_dnsmasq();
    network.start_dnsmasq();
    assert_eq!(pool.netbe().run("publish").stderr, "");
    assert!(network.discover(STRANGER).is_some());
    pool.assert_sound();
}

#[test]
fn a_serial_alone_lets_raspberry_pis_in_and_no_other_machine() {
    let pool = with_nodes();
    pool.netbe().ok("set mac= serial=9ffefdef rom");
    assert!(!pool.at("publish/dnsmasq-hosts/rom").exists());
    let network = served(&pool);
    assert!(network.discover(PI).is_some(), "{}", network.log());
    let by_id = Asks {
        id: b"RPi5",
        ..STRANGER
    };
    assert!(network.discover(by_id).is_some(), "{}", network.log());
    assert_eq!(network.discover(STRANGER), None);
    // Its folder is found below the shared one.
    let text = fs::read_to_string(pool.half("rom/a", "boot").join("cmdline.txt")).unwrap();
    pool.netbe().ok("set mac= nog");
    assert_eq!(
        network.fetch("9ffefdef/cmdline.txt"),
        Some(text.into_bytes())
    );
}

#[test]
fn invariant_6_an_unreadable_record_takes_nobody_off_dnsmasq() {
    let pool = with_nodes();
    pool.netbe().ok("set mac= serial=9ffefdef rom");
    let before = pool.read("publish/dnsmasq-hosts/nog");
    for node in ["nog", "rom"] {
        pool.write(&format!("nodes/{node}/node.json"), "garbage");
    }
    let said = pool.netbe().run("publish");
    assert_eq!(
        said.stdout, "Everything is published already.\n",
        "{said:#?}"
    );
    assert_eq!(pool.read("publish/dnsmasq-hosts/nog"), before);
    assert!(pool.read("publish/dnsmasq.conf").contains("netbe-pi"));
}

#[test]
fn a_renamed_machine_stays_known_and_a_second_address_is_told_of() {
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
    let said = pool.netbe().run("set ip=dhcp,192.0.2.50 rom");
    assert!(
        said.stderr
            .contains("nog and rom have the address 192.0.2.50 both"),
        "{said:#?}"
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
        &["ip=dhcp,192.0.2.50/24", "hint: "],
    );
    pool.refuses(
        2,
        "set dhcp=off nog",
        &["dhcp is the pool's", "hint: netbe set dhcp=off"],
    );
    pool.refuses(2, "set dhcp=192.0.2.9-192.0.2.1", &["comes after"]);
}

#[test]
fn who_is_not_root_can_read_what_dnsmasq_reads_again() {
    let pool = with_nodes();
    let all = [
        "publish",
        "publish/dnsmasq-hosts",
        "publish/dnsmasq-hosts/nog",
        "publish/dnsmasq.conf",
        "tftp",
    ];
    for path in all {
        let mode = pool.at(path).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o044, 0o044, "{path}: {mode:o}");
    }
    fs::set_permissions(pool.at("publish"), fs::Permissions::from_mode(0o700)).unwrap();
    let said = pool.netbe().run("check");
    assert_eq!(said.status, 1);
    let remedy = format!("chmod o+x {}", pool.at("publish").display());
    assert!(said.stdout.contains(&remedy), "{said:#?}");
    assert!(Path::new("/etc/dnsmasq.d").is_dir());
}
