//! Environments on trial: one that hangs is left when its machine is power-cycled, by its server, and one that panics at the next
//! boot; one that comes up stays.

use std::time::{Duration, Instant};

use crate::machine::Running;
use crate::scene::{self, Scene};
use crate::server::Server;

const MAC: &str = "52:54:00:74:72:79";
/// Its address, and where its power is switched.
const ADDRESS: &str = "10.77.0.77";
const SWITCH: &str = "10.77.0.254:5555";

/// Makes an environment of the node whose first process is this script.
fn with_init(server: &Server, name: &str, script: &str) {
    server.ok(&format!("netbe create nog/{name}"));
    server.ok(&format!(
        "netbe run nog/{name} -- sh -ec '
            rm /usr/sbin/init
            printf \"#!/bin/sh\\n{script}\\n\" >/usr/sbin/init
            chmod 755 /usr/sbin/init'"
    ));
}

/// Waits until the server says so, as its timer has it look twice a minute.
fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(
            since.elapsed() < Duration::from_secs(900),
            "not yet: {what}"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn flags(server: &Server, environment: &str) -> String {
    let line = server.ok(&format!("netbe list -H nog/{environment}"));
    line.split('\t')
        .nth(2)
        .expect("it has nine fields")
        .to_string()
}

#[test]
fn a_trial_that_hangs_or_panics_is_left_and_one_that_boots_stays() {
    let scene = Scene::new("tries");
    let server = &scene.server;
    server.create(&format!("nog/first --mac {MAC}"));
    with_init(server, "hangs", "echo here it stops; exec sleep infinity");
    with_init(server, "panics", "echo here it ends");
    server.ok("netbe create nog/good");
    // It counts, and has the one that resets stay until it is heard.
    let power = format!(
        "bash -c \"echo \\$NETBE_NODE >>/run/cycled; exec 3<>/dev/tcp/{}; echo system_reset >&3; sleep 1\"",
        SWITCH.replace(':', "/")
    );
    server.ok(&format!(
        "netbe set ip=dhcp,{ADDRESS} 'power.cycle={power}' nog"
    ));
    server.restart_dnsmasq();
    let machine = scene.machine("nog", MAC).with_switch(SWITCH);

    server.ok("netbe activate --try=1m nog/hangs");
    assert_eq!(server.active("nog"), "first");
    let mut nog = machine.power_on();
    nog.wait_for("here it stops");
    // Nobody touches it.
    nog.wait_until_up();
    assert_eq!(server.ok("cat /run/cycled"), "nog\n");
    assert_eq!(nog.environment(), "first");
    assert_eq!(server.active("nog"), "first");
    wait_until("the trial is over", || flags(server, "hangs").contains('!'));

    if scene::is_whole() {
        is_left_when_it_panics(server, &mut nog);
    }
    // The stories of UEFI and of the template pass a trial, too.
    if scene::is_whole() {
        server.ok("netbe activate --try nog/good");
        nog.restart();
        nog.wait_until_up();
        assert_eq!(nog.environment(), "good");
        wait_until("the trial is passed", || server.active("nog") == "good");
    }
    // Neither runs, nor is led to any more.
    server.ok("netbe destroy -y nog/hangs nog/panics");
    server.ok("netbe publish && netbe check");
}

/// One that panics is back by itself, without a hand at its power.
fn is_left_when_it_panics(server: &Server, nog: &mut Running) {
    server.ok("netbe activate --try nog/panics");
    nog.restart();
    nog.wait_for("Kernel panic - not syncing");
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    wait_until("the trial is over", || {
        flags(server, "panics").contains('!')
    });
    assert_eq!(server.active("nog"), "first");
    assert_eq!(server.ok("cat /run/cycled"), "nog\n");
}
