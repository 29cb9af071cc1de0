//! Several pools on one server: one dnsmasq and one TFTP server for all, and no machine's name in two.

use std::fs;
use std::process::Command;

use super::{PI, with_nodes};
use crate::network::{BIOS, Network, judge};
use crate::serve::Serve;
use crate::support::{MAC, Pool, System, run, unmount, wait_until};

/// Returns another pool of the same server, with the node `rom` that is a Raspberry Pi.
fn with_a_pi(first: &Pool) -> Pool {
    let pool = first.another();
    pool.import("pi/stock", &System::raspberry_pi());
    pool.netbe()
        .ok(&format!("create rom/a --from pi --mac {}", PI.mac));
    pool
}

/// Returns a pool with the node `nog`, a PC, and one with `rom`, and has this server serve both.
fn two() -> (Pool, Pool, Network) {
    let first = Pool::with_served_node();
    let second = with_a_pi(&first);
    let network = Network::new(&first);
    for pool in [&first, &second] {
        let output = pool.netbe().run("init --services");
        assert_eq!(output.status, 0, "{output:#?}");
    }
    (first, second, network)
}

fn kernel(mac: &str, file: &str) -> String {
    format!("{}/{file}", mac.replace(':', "-"))
}

#[test]
fn two_pools_are_served_by_one_dnsmasq_and_one_tftp_server() {
    let (first, second, mut network) = two();
    network.start_dnsmasq();
    let serve = Serve::start_for_all(&first);
    for (asks, words) in [(BIOS, "netbe"), (PI, "Raspberry Pi Boot")] {
        let offer = network.offered(asks);
        let told = String::from_utf8_lossy(offer.option(43).unwrap()).into_owned();
        assert!(told.contains(words), "{told}");
    }
    assert!(
        network
            .fetch(&kernel(MAC, "pxelinux.cfg/default"))
            .is_some()
    );
    assert!(network.fetch(&kernel(PI.mac, "config.txt")).is_some());
    for (pool, node) in [(&first, "nog"), (&second, "rom")] {
        let file = pool.of_node(node, "boots.jsonl");
        wait_until("a transfer is noted", || file.exists());
        pool.assert_sound();
    }
    drop(serve);
    // Each as it was: the same again changes nothing.
    for pool in [&first, &second] {
        let output = pool.netbe().ok("init --services");
        assert!(output.contains("already installed"), "{output}");
    }
    let files: Vec<_> = fs::read_dir("/etc/dnsmasq.d").unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn a_machines_name_is_not_in_two_pools() {
    let (first, second, _network) = two();
    let pool = first.path().display();
    let hint = format!("hint: netbe --pool {pool} get mac nog");
    for line in [
        format!("create ordo/a --from pi --mac {MAC}"),
        format!("set mac={MAC} rom"),
    ] {
        second.refuses(3, &line, &["nog, in the pool", "already", &hint]);
    }
}

#[test]
fn an_address_is_kept_for_one_machine_over_all_pools() {
    let (first, second, mut network) = two();
    first.netbe().ok("set dhcp=192.0.2.100-192.0.2.110");
    first.netbe().ok("set ip=dhcp,192.0.2.105 nog");
    let line = "set ip=dhcp,192.0.2.105 rom";
    second.refuses(3, line, &["nog, in the pool", "already has ip"]);
    // As an older netbe allowed it.
    let record = second.read("nodes/rom/node.json");
    let twice = record.replace("\"mac\"", "\"ip\": \"dhcp,192.0.2.105\", \"mac\"");
    second.write("nodes/rom/node.json", &twice);
    let output = second.netbe().run("publish");
    assert!(
        output
            .stderr
            .contains("192.0.2.105 is reserved for a node of another pool"),
        "{output:#?}"
    );
    judge(&["--conf-dir=/etc/dnsmasq.d"]);
    second.netbe().run("set ip=dhcp,192.0.2.106 rom");
    network.start_dnsmasq();
    for (asks, address) in [(BIOS, "192.0.2.105"), (PI, "192.0.2.106")] {
        assert_eq!(network.offered(asks).address.to_string(), address);
    }
    // What the first one says of addresses holds.
    let output = second.netbe().run("set dhcp=off");
    assert!(
        output
            .stderr
            .contains("dhcp=off of this pool has no effect"),
        "{output:#?}"
    );
}

#[test]
fn a_pool_that_is_not_there_keeps_no_other_from_its_files_and_is_found_when_it_comes() {
    let (first, second, network) = two();
    unmount(second.path());
    let serve = Serve::start_for_all(&first);
    assert!(
        network
            .fetch(&kernel(MAC, "pxelinux.cfg/default"))
            .is_some()
    );
    assert_eq!(network.fetch(&kernel(PI.mac, "config.txt")), None);
    assert_eq!(first.netbe().run("reconcile --all-pools").status, 0);
    let image = second.beside().join("pool.btrfs");
    run(Command::new("mount")
        .args(["-o", "loop,nosuid,nodev"])
        .args([&image, second.path()]));
    wait_until("the pool's files are there", || {
        network.fetch(&kernel(PI.mac, "config.txt")).is_some()
    });
    drop(serve);
}

#[test]
fn check_warns_of_two_pools_on_one_filesystem() {
    let first = Pool::with_served_node();
    let output = first.netbe().run("check");
    assert!(!output.stderr.contains("can read and write"), "{output:#?}");
    let second = first.path().join("second");
    first.netbe().ok(&format!("init {}", second.display()));
    let output = first.netbe().run("check");
    let words = format!(
        "every node of this pool and of {}, on the same filesystem",
        second.display()
    );
    assert!(output.stderr.contains(&words), "{output:#?}");
}

#[test]
fn trials_of_all_pools_end_and_a_damaged_pool_is_reported() {
    let (first, second, _network) = two();
    for (pool, node) in [(&first, "nog"), (&second, "rom")] {
        pool.netbe().ok(&format!("create {node}/b"));
        pool.netbe().ok(&format!("activate --once {node}/b"));
    }
    let planned = first.netbe().run("reconcile --all-pools -n");
    assert_eq!(planned.status, 0, "{planned:#?}");
    fs::write(first.at("pool.json"), "garbage").unwrap();
    let output = second.netbe().run("reconcile --all-pools");
    assert_eq!(output.status, 1, "{output:#?}");
    let words = format!("the pool in {}", first.path().display());
    assert!(output.stderr.contains(&words), "{output:#?}");
    let output = second.netbe().run("prune --all-pools --keep 1");
    assert!(output.stderr.contains(&words), "{output:#?}");
}

#[test]
fn when_the_first_pool_is_no_more_another_takes_its_place() {
    let (first, second, _network) = two();
    fs::remove_dir_all(first.state()).unwrap();
    let output = second.netbe().run("check");
    assert!(
        output
            .stdout
            .contains("/etc/dnsmasq.d/netbe.conf is missing"),
        "{output:#?}"
    );
    second.netbe().ok("init --services");
    let line = fs::read_to_string("/etc/dnsmasq.d/netbe.conf").unwrap();
    let state = second.state();
    assert_eq!(
        line,
        format!("conf-file={}/publish/dnsmasq.conf\n", state.display())
    );
    assert!(second.read("publish/dnsmasq.conf").contains("pxe-service"));
    let files: Vec<_> = fs::read_dir("/etc/dnsmasq.d").unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    judge(&["--conf-dir=/etc/dnsmasq.d"]);
}

#[test]
fn a_second_pool_without_machines_is_sound() {
    let first = with_nodes();
    let _network = Network::new(&first);
    first.netbe().run("init --services");
    let _serve = Serve::start_for_all(&first);
    let second = first.another();
    second.assert_sound();
    let third = second.path().join("third");
    let planned = second.netbe().ok(&format!("init -n {}", third.display()));
    assert!(
        planned.contains("would write /etc/systemd/system/netbe-tftp.service"),
        "{planned}"
    );
    second.import("pi/stock", &System::raspberry_pi());
    second
        .netbe()
        .ok("create tom/a --from pi --mac 02:00:00:00:00:07");
    let output = second.netbe().run("check");
    assert!(output.stdout.contains("--services"), "{output:#?}");
}
