//! Several environments made side by side.

use crate::support::{MAC, Pool, System};

/// Returns a pool with the served node `nog`, `ordo`, and a template of a newer system.
fn pool() -> Pool {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create ordo/a");
    pool.import("newer/x", &System::debian().file("etc/motd", "newer\n"));
    pool
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().skip(1);
    lines
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn new_nodes_are_made_each_with_an_identity_of_its_own() {
    let pool = Pool::with_template();
    let output = pool
        .netbe()
        .ok("create rack1/a rack2/a rack3/a rack2/a -d many");
    assert_eq!(
        rows(&output),
        [
            ["rack1", "a", "boots", "next"],
            ["rack2", "a", "boots", "next"],
            ["rack3", "a", "boots", "next"]
        ]
    );
    let key = |node: &str| {
        pool.read(&format!(
            "nodes/{node}/envs/a/root/etc/ssh/ssh_host_ecdsa_key"
        ))
    };
    assert!(key("rack1") != key("rack2") && key("rack2") != key("rack3"));
    assert!(pool.netbe().ok("list -H rack3").contains("many"));
    pool.assert_sound();
    let refused = pool
        .netbe()
        .fails(2, &format!("create rack4 rack5 --mac {MAC}"));
    assert!(refused.contains(" is for one new node"), "{refused}");
    let refused = pool.netbe().fails(3, "create rack4 --try");
    assert!(refused.contains("rack4 does not exist yet"), "{refused}");
}

#[test]
fn a_failure_does_not_stop_the_others() {
    let pool = pool();
    pool.netbe().ok("create ordo/b");
    let line = "create nog/b ordo/b werda/b --from newer -a";
    let planned = pool.netbe().run(&format!("{line} -n"));
    assert_eq!(planned.status, 3, "{planned:#?}");
    assert!(
        planned.stdout.contains("would activate werda/b"),
        "{planned:#?}"
    );
    let output = pool.netbe().run(line);
    assert_eq!(output.status, 3, "{output:#?}");
    assert!(
        output.stderr.contains("error: ordo/b already exists"),
        "{output:#?}"
    );
    assert!(
        output.stderr.contains("note: nog keeps its identity"),
        "{output:#?}"
    );
    assert_eq!(
        rows(&output.stdout),
        [
            vec!["nog", "b", "boots", "next"],
            vec!["ordo", "-", "failed"],
            vec!["werda", "b", "boots", "next"],
        ]
    );
    assert_eq!(
        (pool.active("nog"), pool.active("ordo")),
        ("b".into(), "a".into())
    );
    assert_eq!(pool.read("nodes/werda/envs/b/root/etc/motd"), "newer\n");
    pool.assert_sound();
}

#[test]
fn every_node_gets_it_on_trial_or_to_activate() {
    let pool = pool();
    let output = pool.netbe().run("create --all --from newer --try=5m");
    // No machine asks for ordo.
    assert_eq!(output.status, 3, "{output:#?}");
    assert!(
        output.stderr.contains("no machine can ask for ordo"),
        "{output:#?}"
    );
    let table = rows(&output.stdout);
    assert_eq!(table[0][2..], ["pending", "boot"]);
    assert_eq!(table[1][2..], ["failed"]);
    assert_eq!(
        (pool.active("nog"), pool.names("ordo").len()),
        ("a".into(), 1)
    );
    assert!(pool.netbe().ok("status nog").contains("trial"));
    pool.netbe().ok("activate --cancel nog");
    let output = pool.netbe().ok("create --all --from newer");
    assert!(
        output.contains("\nTo boot next: netbe activate nog/"),
        "{output}"
    );
    pool.netbe().ok("activate --all");
    assert_eq!(pool.names("newer"), ["x"]);
    let one = pool.netbe().ok("create nog/t --from newer --once");
    assert!(one.contains("The next boot of nog is nog/t;"), "{one}");
    pool.assert_sound();
}
