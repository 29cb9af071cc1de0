//! The story of `scripts/demo --boot`: a machine boots, is upgraded while it runs, boots that, and goes back.
//!
//! It proves nothing that `boots.rs` does not.

use crate::console;
use crate::scene::Scene;

const MAC: &str = "52:54:00:6e:6f:67";

#[test]
#[ignore = "scripts/demo --boot shows it"]
fn a_person_watches_a_machine() {
    console::announce("A boot server (User Mode Linux) and a switch. It has a template, debian:");
    let scene = Scene::new("demo");
    let server = &scene.server;
    server.ok("netbe list");

    console::announce("A node, made of the template:");
    server.create(&format!("nog/first --mac {MAC}"));

    console::announce(
        "A PC without a disk (QEMU) with that address is switched on, and boots over the network:",
    );
    let mut nog = scene.machine("nog", MAC).power_on();
    nog.wait_until_up();
    nog.ok("uname -r; findmnt -n -o FSTYPE,SOURCE /");

    console::announce("While it runs, its system is upgraded, in a copy:");
    server.offer_greeting("2.0");
    server.ok("netbe upgrade nog --name second");
    server.ok("netbe activate nog");
    server.ok("netbe list");

    console::announce("It still runs what it booted. Now it restarts:");
    nog.restart();
    nog.wait_until_up();
    nog.ok("findmnt -n -o SOURCE /");
    server.ok("netbe status nog");

    console::announce("And back again:");
    server.ok("netbe rollback nog");
    nog.restart();
    nog.wait_until_up();
    nog.ok("findmnt -n -o SOURCE /");
    server.ok("netbe list nog");
}
