//! An arm64 machine that is fed as a Raspberry Pi is boots to the end, from what was upgraded on another processor.

use std::fs;
use std::path::Path;

use crate::arm64;
use crate::firmware::{self, Loaded};
use crate::machine::Machine;
use crate::scene::{self, Scene};
use crate::server::{DISK_OF_MACHINE, Server};
use crate::support::Netbe;
use crate::systems;

const MAC: &str = "dc:a6:32:01:02:03";
const SERIAL: &str = "abcdef01";

/// Makes nog's environments: one, what its own package manager, emulated, has made of a copy, and a copy of that; and an
/// empty card.
fn fill(netbe: &Netbe, image: &Path, card: &Path) {
    arm64::import_template(netbe, image);
    arm64::offer_greeting("2.0");
    netbe.ok(&format!("create nog/first --serial {SERIAL}"));
    let table = netbe.ok("upgrade --node nog --name second");
    assert!(table.contains("netbe-greeting"), "{table}");
    netbe.ok("create nog/third --from nog/second");
    let card = fs::File::create(card).unwrap();
    card.set_len(1 << 30).unwrap();
}

#[test]
fn a_raspberry_pi_finds_its_files_by_serial_and_by_mac_and_boots() {
    let image = systems::real(&["--pi"]);
    let card = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("e2e/raspberry")
        .join(DISK_OF_MACHINE);
    let scene = Scene::with_pool("raspberry", |netbe| fill(netbe, &image, &card));
    let server = &scene.server;

    // By its serial: nobody has told the server a MAC address.
    let by_serial = firmware::run(SERIAL, MAC, "shared");
    let names: Vec<_> = by_serial
        .asked
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names[..4],
        [
            "abcdef01/start4.elf",
            "abcdef01/fixup4.dat",
            "abcdef01/config.txt",
            "abcdef01/cmdline.txt"
        ]
    );
    assert!(by_serial.asked.iter().all(|(_, there)| *there));

    // By its MAC address: what is under that is all it sees.
    server.ok(&format!("netbe set mac={MAC} serial= nog"));
    server.restart_dnsmasq();
    let by_mac = firmware::run(SERIAL, MAC, "shared");
    let first = [
        ("abcdef01/start4.elf".to_string(), false),
        ("start4.elf".to_string(), true),
    ];
    assert_eq!(by_mac.asked[..2], first);
    assert!(by_mac.kernel == by_serial.kernel && by_mac.initramfs == by_serial.initramfs);
    assert_eq!(by_mac.cmdline, by_serial.cmdline);

    by_card_and_then_by_the_network(&scene, &card, &by_mac);
}

/// Tells the same machine's story from its card, and after that by TFTP, where it can be led back.
fn by_card_and_then_by_the_network(scene: &Scene, card: &Path, by_mac: &Loaded) {
    let server = &scene.server;
    let machine = scene.machine("nog", MAC);
    server.ok("netbe deploy nog --boot /dev/ubdb");
    let by_card = firmware::run_from_card(card);
    assert!(by_card.kernel == by_mac.kernel && by_card.initramfs == by_mac.initramfs);
    assert_eq!(by_card.cmdline, by_mac.cmdline);
    let mut nog = machine.power_on_with(&by_card);
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("uname -m"), "aarch64\n");
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot/firmware"), "nfs4\n");
    nog.is_well();
    assert!(!on_card(server).contains("behind"), "{}", on_card(server));

    let told = server.run("netbe activate nog");
    assert_eq!(told.status, 0, "{told:?}");
    let command = "netbe deploy nog --boot /dev/ubdb";
    assert!(told.stderr.contains(command), "{told:?}");
    assert!(on_card(server).contains("behind: second is active"));
    assert_eq!(firmware::run_from_card(card).cmdline, by_card.cmdline);
    server.ok(command);
    assert!(!on_card(server).contains("behind"), "{}", on_card(server));
    drop(nog);
    let by_card = firmware::run_from_card(card);
    assert!(by_card.cmdline.contains("/envs/second/root"));
    if scene::is_whole() {
        let mut nog = machine.power_on_with(&by_card);
        let output = nog.wait_until_up();
        assert!(output.contains("This is nog, environment second, greeting 2.0."));
        assert_eq!(nog.environment(), "second");
        nog.is_well();
        let status = server.ok("netbe status nog");
        assert!(status.contains("booted   second, since "), "{status}");
    }
    server.fails(3, "netbe activate --try nog/third");

    server.ok("netbe deploy nog --boot none");
    if scene::is_whole() {
        by_the_network_on_trial_and_back(server, &machine);
    }
    server.ok("netbe publish && netbe check");
}

/// Without its card: a trial that passes, and back.
fn by_the_network_on_trial_and_back(server: &Server, machine: &Machine) {
    server.ok("netbe activate --try=60m nog/third");
    let mut nog = machine.power_on_with(&firmware::run(SERIAL, MAC, "shared"));
    nog.wait_until_up();
    assert_eq!(nog.environment(), "third");
    server.wait_until_active("nog", "third");
    server.ok("netbe rollback nog");
    drop(nog);
    let mut nog = machine.power_on_with(&firmware::run(SERIAL, MAC, "shared"));
    let output = nog.wait_until_up();
    assert!(output.contains("environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    nog.is_well();
}

/// Returns what `status` tells of its card.
fn on_card(server: &Server) -> String {
    let status = server.ok("netbe status nog");
    let line = status.lines().find(|l| l.trim().starts_with("card "));
    line.unwrap_or_else(|| panic!("{status}")).to_string()
}
