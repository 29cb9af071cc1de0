//! An arm64 machine that is fed as a Raspberry Pi is boots to the end.

use crate::firmware;
use crate::scene::Scene;
use crate::systems;

const MAC: &str = "dc:a6:32:01:02:03";
const SERIAL: &str = "abcdef01";

#[test]
fn a_raspberry_pi_finds_its_files_by_serial_and_by_mac_and_boots() {
    let scene = Scene::new("raspberry");
    let server = &scene.server;
    let image = systems::real(&["--pi"]);
    server.ok(&format!("netbe import raspi {}", image.display()));
    // What QEMU's board calls its serial port.
    server.ok("netbe set cmdline=console=ttyAMA0");
    server.create(&format!("nog/first --serial {SERIAL}"));

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
    server.ok(&format!("netbe set mac={MAC} nog"));
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
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("uname -m"), "aarch64\n");
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /boot/firmware"), "nfs4\n");
    assert_eq!(nog.ok("systemctl is-system-running --wait"), "running\n");
}
