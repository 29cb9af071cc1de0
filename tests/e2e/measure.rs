//! How long machines take from power-on to their kernel's start and to the login: by TFTP and by HTTP, and two at once.
//!
//! A measurement, not a test: `cargo test --test e2e measure -- --ignored --nocapture`, on a machine that does nothing
//! else. One machine with UEFI firmware boots by the same iPXE each time; a PC with BIOS by PXELINUX.

use std::time::Instant;

use crate::machine::{Machine, Running};
use crate::scene::Scene;

const MACS: [&str; 2] = ["52:54:00:6d:65:61", "52:54:00:6d:65:62"];

/// Waits for a machine's login, and prints how long it took.
fn measure(what: &str, since: Instant, machine: &mut Running) {
    machine.wait_until_up();
    let login = since.elapsed().as_secs_f64();
    let told = machine.ok("cat /proc/uptime");
    let now = since.elapsed().as_secs_f64();
    let up: f64 = told.split(' ').next().unwrap().parse().unwrap();
    let kernel = now - up;
    println!("measured: {what}: kernel after {kernel:.1} s, login after {login:.1} s");
    machine.ok("sync");
}

fn alone(what: &str, machine: &Machine, power_on: fn(&Machine) -> Running) {
    let since = Instant::now();
    measure(what, since, &mut power_on(machine));
}

#[test]
#[ignore = "a measurement, which wants the machine for itself"]
fn from_power_on_to_login() {
    let scene = Scene::new("measure");
    let server = &scene.server;
    let machines: Vec<Machine> = ["nog", "ordo"]
        .iter()
        .zip(MACS)
        .map(|(node, mac)| {
            server.create(&format!("{node}/first --mac {mac}"));
            scene.machine(node, mac)
        })
        .collect();
    let by_ipxe: fn(&Machine) -> Running = |machine| machine.power_on_uefi(false);
    alone("BIOS, PXELINUX, TFTP", &machines[0], Machine::power_on);
    alone("UEFI, iPXE, TFTP", &machines[0], by_ipxe);
    server.ok("netbe set http=8080");
    server.restart_dnsmasq();
    alone("UEFI, iPXE, HTTP", &machines[0], by_ipxe);

    let since = Instant::now();
    let mut both: Vec<Running> = machines.iter().map(by_ipxe).collect();
    for (machine, name) in both.iter_mut().zip(["nog", "ordo"]) {
        measure(&format!("two at once, HTTP, {name}"), since, machine);
    }
}

/// How long one change takes among 1,500 exports of the kernel's NFS server, beside exporting all of them again.
#[test]
#[ignore = "a measurement, which wants the machine for itself"]
fn one_change_among_many_exports() {
    const NODES: usize = 750;
    let scene = Scene::with_more("measure_exports", |netbe| {
        for number in 0..NODES {
            let mac = format!("52:54:01:00:{:02x}:{:02x}", number / 256, number % 256);
            netbe.ok(&format!("create n{number}/first --mac {mac}"));
        }
    });
    let server = &scene.server;
    let exports = server.ok("wc -l </var/lib/nfs/etab");
    for line in [
        "exportfs -ra",
        "netbe create n0/second",
        "netbe activate n0/second",
        "netbe destroy -y n1/first || netbe create n1/second",
        "netbe publish",
        "netbe check",
        "netbe status n0",
    ] {
        let since = Instant::now();
        let status = server.run(line).status;
        println!(
            "measured: {line}: {:.2} s, status {status}, among {} exports",
            since.elapsed().as_secs_f64(),
            exports.trim()
        );
    }
}
