//! How long a machine takes from power-on to its login, from netbe's environment and from a copy made by hand.
//!
//! A measurement, not a test: `cargo test --test e2e measure -- --ignored --nocapture`, on a machine that does nothing
//! else. The two take turns.

use std::time::Instant;

use crate::scene::Scene;

const MAC: &str = "52:54:00:6d:65:61";
const MAC_BY_HAND: &str = "52:54:00:68:61:6e";
const TURNS: usize = 3;

/// Copies the environment's files as people did before there was netbe, for a machine with another address.
fn by_hand() -> String {
    format!(
        "set -e
        env=/srv/netbe/nodes/nog/envs/first hand=/srv/netbe/by-hand
        mkdir $hand
        for half in root boot; do
            btrfs -q subvolume create $hand/$half
            cp -a --reflink=always $env/$half/. $hand/$half/
        done
        sed -i s,$env,$hand,g $hand/boot/pxelinux.cfg/default $hand/root/etc/fstab
        ln -s $hand/boot /srv/netbe/tftp/{}
        for half in root boot; do
            echo \"$hand/$half 10.77.0.0/24(rw,sync,no_subtree_check,no_root_squash)\"
        done >/etc/exports.d/hand.exports
        exportfs -ra
        echo dhcp-host={MAC_BY_HAND},id:*,set:netbe,set:netbe-pxelinux >/etc/dnsmasq.d/hand.conf",
        MAC_BY_HAND.replace(':', "-")
    )
}

#[test]
#[ignore = "a measurement, which wants the machine for itself"]
fn from_power_on_to_login() {
    let scene = Scene::new("measure");
    let server = &scene.server;
    server.bring_in_debian();
    server.create(&format!("nog/first --mac {MAC}"));
    server.ok(&by_hand());
    server.restart_dnsmasq();
    let machines = [
        ("netbe", scene.machine("nog", MAC)),
        ("by hand", scene.machine("hand", MAC_BY_HAND)),
    ];
    for turn in 1..=TURNS {
        for (whose, machine) in &machines {
            let begun = Instant::now();
            let mut running = machine.power_on();
            running.wait_until_up();
            let seconds = begun.elapsed().as_secs_f32();
            println!("measured: turn {turn}, {whose}: {seconds:.1} s");
            let root = running.ok("findmnt -n -o SOURCE /");
            assert_eq!(root.contains("/by-hand/"), *whose == "by hand", "{root}");
            running.ok("sync");
        }
    }
}
