//! Addresses that do not fit together: told by `set`, `init` and `check`, each with a command that mends it.

use crate::machine::Machine;
use crate::support::{MAC, Pool, SERVER};

const SECOND_MAC: &str = "dc:a6:32:01:02:09";

/// Runs a remedy as it is printed.
fn paste(pool: &Pool, command: &str) {
    let arguments = command.strip_prefix("netbe ").expect("it is a command");
    pool.netbe().ok(arguments);
}

#[test]
fn a_server_address_of_another_machine_is_reported_once_for_the_pool() {
    let pool = Pool::with_served_node();
    pool.netbe().ok(&format!("create rom --mac {SECOND_MAC}"));
    pool.assert_sound();
    for line in ["set -n server=203.0.113.9", "set server=203.0.113.9"] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{output:#?}");
        for words in ["none of its interfaces", SERVER, "netbe set server="] {
            assert!(output.stderr.contains(words), "{words}: {output:#?}");
        }
    }
    let found = pool.findings();
    let of_server: Vec<_> = found
        .iter()
        .filter(|(line, _)| line.starts_with("server: "))
        .collect();
    assert_eq!(of_server.len(), 1, "{found:#?}");
    paste(&pool, &of_server[0].1);
    let left = pool.findings();
    assert!(
        !left.iter().any(|(line, _)| line.starts_with("server: ")),
        "{left:#?}"
    );
    // Of one node only.
    pool.netbe().ok(&format!("set server={SERVER}"));
    let output = pool.netbe().run("set server=203.0.113.9 rom").stderr;
    assert!(output.contains("rom: nodes are told"), "{output}");
    let found = pool.findings();
    let remedy = &found
        .iter()
        .find(|(line, _)| line.contains("none of its interfaces"))
        .expect("it is found")
        .1;
    assert!(remedy.ends_with(" rom --existing"), "{remedy}");
}

#[test]
fn the_server_address_is_checked_before_the_first_node() {
    let pool = Pool::with_template();
    pool.assert_sound();
    pool.netbe().ok("set server=203.0.113.9");
    let found = pool.findings();
    let of_server = found.iter().find(|(line, _)| line.starts_with("server: "));
    paste(&pool, &of_server.expect("it is found").1);
    pool.assert_sound();
}

#[test]
fn a_server_by_which_a_node_has_booted_is_sound() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set server=203.0.113.9 --existing");
    let found = pool.findings();
    assert!(found[0].0.starts_with("server: "), "{found:#?}");
    // A router forwards it.
    pool.reports("nog/a", "first-boot");
    pool.assert_sound();
}

#[test]
fn init_warns_of_a_server_address_of_another_machine() {
    let pool = Pool::bare(1 << 30);
    let output = pool.netbe().run("init --server 203.0.113.9");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("none of its interfaces"),
        "{output:#?}"
    );
    // No node boots by it yet.
    assert!(pool.findings()[0].0.starts_with("server: "));
    let output = pool.netbe().run("init --server 203.0.113.8");
    assert!(
        output.stderr.contains("203.0.113.8, which none"),
        "{output:#?}"
    );
}

#[test]
fn one_address_is_of_one_node() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set ip=192.0.2.5/24 nog");
    for line in [
        "create rom --ip 192.0.2.5/24",
        "create rom --ip dhcp,192.0.2.5",
        "create rom --ip 192.0.2.5/16,192.0.0.1",
    ] {
        pool.refuses(
            3,
            line,
            &["nog already has ip 192.0.2.5", "netbe get ip nog"],
        );
    }
    pool.netbe().ok(&format!("create rom --mac {SECOND_MAC}"));
    pool.refuses(3, "set ip=dhcp,192.0.2.5 rom", &["nog already has ip"]);
    // Its own it may have in another form.
    pool.netbe().ok("set ip=dhcp,192.0.2.5 nog");
    // As an older netbe allowed it.
    let file = "nodes/rom/node.json";
    let text = pool.read(file);
    let given = text.replace("\"mac\"", "\"ip\": \"dhcp,192.0.2.5\",\n    \"mac\"");
    assert_ne!(given, text);
    pool.write(file, &given);
    let found = pool.findings();
    let (line, remedy) = found
        .iter()
        .find(|(line, _)| line.contains("and so has nog"))
        .unwrap_or_else(|| panic!("{found:#?}"));
    assert!(line.starts_with("rom: "), "{line}");
    paste(&pool, remedy);
    let left = pool.findings();
    assert!(
        !left.iter().any(|(line, _)| line.contains("and so has")),
        "{left:#?}"
    );
}

#[test]
fn clients_that_leave_out_the_node_are_reported() {
    let pool = Pool::with_template();
    pool.netbe()
        .ok(&format!("create nog/a --mac {MAC} --ip dhcp,192.0.2.5"));
    for clients in ["192.0.2.0/24", "192.0.2.5", "192.0.2.7,nog.lan"] {
        let output = pool.netbe().run(&format!("set clients={clients} nog"));
        assert!(!output.stderr.contains("leaves that out"), "{output:#?}");
        pool.assert_sound();
    }
    let output = pool
        .netbe()
        .run("set clients=192.0.2.7,198.51.100.0/24 nog");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(output.stderr.contains("leaves that out"), "{output:#?}");
    let found = pool.findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].0.starts_with("nog: "), "{found:#?}");
    paste(&pool, &found[0].1);
    pool.assert_sound();
    // Of the pool, for every node.
    pool.netbe().ok("set clients= nog");
    let output = pool.netbe().run("set clients=198.51.100.0/24");
    assert!(
        output.stderr.contains("nog: its address is 192.0.2.5"),
        "{output:#?}"
    );
}
