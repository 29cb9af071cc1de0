//! An arm64 machine that is fed as a Raspberry Pi is boots to the end, from what was upgraded on another processor.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::firmware;
use crate::scene::Scene;
use crate::server::script;
use crate::support::{Netbe, run};
use crate::systems;

const MAC: &str = "dc:a6:32:01:02:03";
const SERIAL: &str = "abcdef01";

/// Makes nog's two environments: one, and what its own package manager, emulated, has made of a copy.
fn fill(netbe: &Netbe, image: &Path) {
    systems::emulate("arm64");
    netbe.ok(&format!("import raspi/base {}", image.display()));
    let root = "/srv/netbe/nodes/raspi/envs/base/root";
    let offer = |version: &str| {
        run(Command::new("sh").args([
            "-ec",
            &format!("{} {root}/srv/apt {version}", script("package")),
        ]));
    };
    offer("1.0");
    fs::write(
        format!("{root}/etc/apt/sources.list"),
        "deb [trusted=yes] file:/srv/apt ./\n",
    )
    .unwrap();
    let install = format!(
        "{}\napt-get -q update && apt-get -qy install netbe-greeting",
        systems::for_slow_machines()
    );
    let said = netbe.run_with(&["run", "raspi/base", "--", "sh", "-ec", &install]);
    assert_eq!(said.status, 0, "{said:#?}");
    offer("2.0");
    // What QEMU's board calls its serial port.
    let cmdline = "cmdline=console=ttyAMA0 quiet mitigations=off";
    assert_eq!(netbe.run_with(&["set", cmdline]).status, 0);
    netbe.ok(&format!("create nog/first --serial {SERIAL}"));
    let table = netbe.ok("upgrade --node nog --name second -a");
    assert!(table.contains("netbe-greeting"), "{table}");
}

#[test]
fn a_raspberry_pi_finds_its_files_by_serial_and_by_mac_and_boots() {
    let image = systems::real(&["--pi"]);
    let scene = Scene::with_pool("raspberry", |netbe| fill(netbe, &image));
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

    let mut nog = scene.machine("nog", MAC).power_on_with(&by_mac);
    let said = nog.wait_until_up();
    assert!(said.contains("This is nog, environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    assert_eq!(nog.ok("uname -m"), "aarch64\n");
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot/firmware"), "nfs4\n");
    nog.is_well();
}
