//! One environment for two machines, of which no property names the second: what they write stays in their memory, and one
//! upgrade is both's.

use std::time::{Duration, Instant};

use crate::machine::Running;
use crate::scene::{self, Scene};
use crate::server::Server;

const MACS: [&str; 2] = ["52:54:00:77:65:01", "52:54:00:77:65:02"];
/// Where a file of the first environment's root is on the server.
const FIRST: &str = "/srv/netbe/nodes/web/envs/first/root";

/// Looks at a machine that has come up, and returns its machine ID and its host key.
fn is_itself(machine: &mut Running, mac: &str) -> [String; 2] {
    let name = format!("web-{}\n", mac[9..].replace(':', ""));
    assert_eq!(machine.ok("uname -n"), name);
    assert_eq!(machine.ok("cat /etc/hostname"), name);
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /"), "overlay\n");
    let options = machine.ok("findmnt -n -o OPTIONS /usr/lib/netbe/root");
    assert!(options.starts_with("ro,"), "{options}");
    let failed = machine.ok("systemctl --failed --plain --no-legend");
    assert_eq!(failed, "");
    let key = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2";
    [machine.ok("cat /etc/machine-id"), machine.ok(key)]
}

/// Waits until each machine has reported an environment.
fn have_reported(server: &Server, macs: &[&str], env: &str) {
    let told = |mac: &&str| format!("{}: {env}, since ", mac.replace(':', "-"));
    let since = Instant::now();
    loop {
        let status = server.ok("netbe status web");
        if macs.iter().map(told).all(|words| status.contains(&words)) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(900), "{status}");
        std::thread::sleep(Duration::from_secs(2));
    }
}

#[test]
fn two_machines_boot_one_read_only_environment_and_keep_writes_in_memory() {
    let scene = Scene::new("one_image");
    let server = &scene.server;
    // The other one is any machine.
    server.create(&format!("web/first --mac {}", MACS[0]));
    let macs = format!("mac={},any", MACS[0]);
    server.ok(&format!(
        "netbe set access=ro ssh-keys=machine {macs} --existing web"
    ));
    server.restart_dnsmasq();
    server.ok("netbe check");

    let mut machines = ["web-1", "web-2"]
        .iter()
        .zip(MACS)
        .map(|(name, mac)| scene.machine(name, mac).power_on())
        .collect::<Vec<_>>();
    let ids: Vec<[String; 2]> = machines
        .iter_mut()
        .zip(MACS)
        .map(|(machine, mac)| {
            machine.wait_until_up();
            assert_eq!(machine.environment(), "first");
            is_itself(machine, mac)
        })
        .collect();
    let differ = |(one, other): (&String, &String)| one != other;
    assert!(ids[0].iter().zip(&ids[1]).all(differ), "{ids:?}");
    let keys = server.ok(&format!(
        "ssh-keygen -lf {FIRST}/etc/ssh/ssh_host_ed25519_key.pub"
    ));
    assert!(
        ids.iter().all(|[_, key]| !keys.contains(key.trim())),
        "{keys}"
    );
    have_reported(server, &MACS, "first");
    let recorded = server.ok("ls /var/lib/netbe/*/nodes/web/machines");
    assert_eq!(recorded, "52-54-00-77-65-01\n52-54-00-77-65-02\n");
    // What runs them cannot be written, whoever mounts it how.
    machines[0].ok("echo mine >/etc/mine && echo mine >>/etc/hosts && sync");
    let lower = machines[0]
        .run("mount -o remount,rw /usr/lib/netbe/root; touch /usr/lib/netbe/root/etc/mine");
    assert_ne!(lower.status, 0, "{lower:?}");
    server.ok(&format!(
        "! test -e {FIRST}/etc/mine && ! grep mine {FIRST}/etc/hosts"
    ));
    assert_ne!(machines[1].run("test -e /etc/mine").status, 0);

    server.offer_greeting("2.0");
    server.ok("netbe upgrade --node web --name second -a");
    // That the other one follows too is the whole story.
    let restarted = if scene::is_whole() { 2 } else { 1 };
    for machine in &mut machines[..restarted] {
        machine.restart();
    }
    let all = machines.iter_mut().zip(MACS).zip(&ids);
    for ((machine, mac), id) in all.take(restarted) {
        let output = machine.wait_until_up();
        assert!(output.contains("greeting 2.0."), "{output}");
        assert_eq!(machine.environment(), "second");
        assert_eq!(is_itself(machine, mac), *id);
        assert_ne!(machine.run("test -e /etc/mine").status, 0);
        have_reported(server, &[mac], "second");
    }
    if !scene::is_whole() {
        let status = server.ok("netbe status web");
        assert!(
            status.contains("first on 1, second on 1 of 2 machines"),
            "{status}"
        );
        server.fails(3, "netbe destroy -y web/first");
        return;
    }
    server.ok("netbe rollback web && netbe check");
    machines[0].restart();
    machines[0].wait_until_up();
    assert_eq!(machines[0].environment(), "first");
    // Or what it reported before would be taken for the report of the next boot.
    have_reported(server, &MACS[..1], "first");
    server.fails(3, "netbe destroy -y web/second");
    server.ok("netbe activate web/second");
    // The other one may have booted what was active meanwhile, for all that is known, until it reports again.
    machines[0].restart();
    machines[0].wait_until_up();
    have_reported(server, &MACS[..1], "second");
    let output = server.fails(3, "netbe destroy -y web/first");
    assert!(output.contains("on 1 of its 2 machines"), "{output}");
    machines[1].restart();
    machines[1].wait_until_up();
    let since = Instant::now();
    while server.run("netbe destroy -y web/first").status != 0 {
        assert!(since.elapsed() < Duration::from_secs(900));
        std::thread::sleep(Duration::from_secs(2));
    }
    server.ok("netbe check");
}

#[test]
#[ignore = "scripts/test --e2e boots it"]
fn host_keys_are_new_at_each_boot_where_they_are_to() {
    let scene = Scene::new("boot_keys");
    let server = &scene.server;
    // Of a node with one machine they are its own.
    server.create(&format!("web/first --mac {} --mac {}", MACS[0], MACS[1]));
    server.ok("netbe set access=ro ssh-keys=boot --existing web");
    let key = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub";
    let of_root = server.ok(&format!(
        "ssh-keygen -lf {FIRST}/etc/ssh/ssh_host_ed25519_key.pub"
    ));
    let mut machine = scene.machine("web", MACS[0]).power_on();
    machine.wait_until_up();
    let first = machine.ok(key);
    machine.restart();
    machine.wait_until_up();
    let second = machine.ok(key);
    assert!(first != second && first != of_root && second != of_root);
}
