//! One template for two machines: both get its new system on trial, stay who they are, and keep what they have changed.

use crate::machine::Running;
use crate::scene::{self, Scene};

const NODES: [(&str, &str); 2] = [("nog", "52:54:00:67:6f:6c"), ("ordo", "52:54:00:67:6f:6d")];

/// Where a file of a node's first root is on the server.
fn first(node: &str, path: &str) -> String {
    format!("/srv/netbe/nodes/{node}/envs/first/root/{path}")
}

/// Looks at a machine that has come up with the new system.
fn is_itself_and_newer(machine: &mut Running, said: &str, node: &str, keys: &str) {
    assert!(said.contains(&format!("This is {node}, ")), "{said}");
    assert!(said.contains("greeting 2.0."), "{said}");
    assert_ne!(machine.environment(), "first");
    assert_eq!(machine.ok("cat /etc/ssh/ssh_host_ed25519_key.pub"), keys);
    let setting = format!("of {node}\n");
    assert_eq!(machine.ok("cat /etc/own.conf"), setting);
    assert_eq!(machine.ok("cat /home/own"), setting);
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /home"), "nfs4\n");
    assert!(machine.ok("cat /etc/hosts").contains("10.77.0.9 nas"));
}

#[test]
fn two_machines_get_a_newer_template_and_keep_their_identities() {
    let scene = Scene::new("golden");
    let server = &scene.server;
    server.ok("netbe set data=/home");
    for (node, mac) in NODES {
        server.create(&format!("{node}/first --mac {mac}"));
        // As its machine does while it runs.
        let (own, hosts) = (first(node, "etc/own.conf"), first(node, "etc/hosts"));
        server.ok(&format!(
            "echo of {node} >{own} && echo 10.77.0.9 nas >>{hosts} && echo of {node} >/srv/netbe/nodes/{node}/data/+home/own"
        ));
    }
    let keys = NODES.map(|(node, _)| {
        server.ok(&format!(
            "cat {}",
            first(node, "etc/ssh/ssh_host_ed25519_key.pub")
        ))
    });
    assert_ne!(keys[0], keys[1]);
    server.offer_greeting("2.0");
    server.ok("netbe upgrade --node debian -a");
    server.ok("netbe create nog/new ordo/new --from debian --merge --try=60m");
    for (node, _) in NODES {
        assert_eq!(server.active(node), "first");
    }
    // That the other one boots, too, is the whole story.
    let booted = if scene::is_whole() { NODES.len() } else { 1 };
    let machines = NODES.iter().take(booted);
    let mut machines: Vec<Running> = machines
        .map(|(node, mac)| scene.machine(node, mac).power_on())
        .collect();
    for ((machine, (node, _)), keys) in machines.iter_mut().zip(NODES).zip(&keys) {
        let output = machine.wait_until_up();
        is_itself_and_newer(machine, &output, node, keys);
        let environment = machine.environment();
        server.wait_until_active(node, &environment);
    }
    let status = server.ok("netbe status");
    assert!(!status.contains("is behind"), "{status}");
}
