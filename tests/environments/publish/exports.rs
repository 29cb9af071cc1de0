//! The exports: the lines of `publish/exports`, and their owners.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{MAC, Netbe, Pool, output};

pub(super) const INSTALLED: &str = "/etc/exports.d/netbe.exports";

/// Returns the line of the exports file for a path.
fn line(pool: &Pool, path: &Path) -> String {
    let quoted = format!("\"{}\" ", path.display());
    let text = pool.read("publish/exports");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with(&quoted)).collect();
    assert_eq!(lines.len(), 1, "{}: {text}", path.display());
    lines[0].to_string()
}

/// Returns the paths that the server has been told of.
pub(super) fn taken_over() -> Vec<String> {
    let shown = String::from_utf8(output(Command::new("exportfs").arg("-s"))).unwrap();
    let mut paths: Vec<_> = shown
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_string)
        .collect();
    paths.sort();
    paths
}

/// Returns the paths of both halves of environments, sorted.
pub(super) fn halves(pool: &Pool, environments: &[&str]) -> Vec<String> {
    let mut paths: Vec<_> = environments
        .iter()
        .flat_map(|e| ["root", "boot"].map(|h| pool.half(e, h).display().to_string()))
        .collect();
    paths.sort();
    paths
}

#[test]
fn invariant_8_each_half_is_exported_with_its_own_uuid_for_the_node_only() {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!(
        "create nog/a --mac {MAC} --ip 192.0.2.5/24,192.0.2.1"
    ));
    for half in ["root", "boot"] {
        let uuid = pool.subvolume_uuid(&format!("nodes/nog/envs/a/{half}"));
        let path = pool.half("nog/a", half);
        assert_eq!(
            line(&pool, &path),
            format!(
                "\"{}\" 192.0.2.5(rw,sync,no_subtree_check,no_root_squash,mp,fsid={uuid})",
                path.display()
            )
        );
    }
    assert_eq!(
        fs::read_to_string(INSTALLED).unwrap(),
        pool.read("publish/exports")
    );
    assert_eq!(taken_over(), halves(&pool, &["nog/a"]));
    let shown = String::from_utf8(output(Command::new("exportfs").arg("-s"))).unwrap();
    assert!(!shown.contains("*("), "{shown}");
}

#[test]
fn clients_are_the_property_else_the_address_else_the_servers_network() {
    let pool = Pool::with_served_node();
    let root = pool.half("nog/a", "root");
    let clients = || {
        let line = line(&pool, &root);
        let (_, list) = line.split_once("\" ").unwrap();
        list.split(' ')
            .map(|c| c.split('(').next().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    // No interface has the server's address, so the network is the address alone.
    assert_eq!(clients(), ["192.0.2.1"]);
    pool.netbe().ok("set ip=192.0.2.7/24 nog");
    assert_eq!(clients(), ["192.0.2.7"]);
    pool.netbe().ok("set clients=198.51.100.0/24");
    assert_eq!(clients(), ["198.51.100.0/24"]);
    pool.netbe()
        .ok("set clients=203.0.113.9,203.0.113.16/28 nog");
    assert_eq!(clients(), ["203.0.113.9", "203.0.113.16/28"]);
    assert_eq!(taken_over(), {
        let twice = [halves(&pool, &["nog/a"]), halves(&pool, &["nog/a"])].concat();
        let mut twice = twice;
        twice.sort();
        twice
    });
    pool.netbe().ok("set clients= nog");
    assert_eq!(clients(), ["198.51.100.0/24"]);
    pool.refuses(2, "set clients=* nog", &["clients=*", "name a network"]);
}

#[test]
fn in_whatever_order_nodes_came_the_file_is_the_same() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create ordo/x --mac 02:00:00:00:00:01");
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("create arda/x --mac 02:00:00:00:00:02");
    let text = pool.read("publish/exports");
    assert_eq!(pool.plans("publish"), "");
    pool.netbe().ok("publish");
    assert_eq!(pool.read("publish/exports"), text);
    pool.assert_sound();
}

#[test]
fn environments_that_may_be_running_stay_exported_and_others_are_withdrawn() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("create nog/c");
    assert_eq!(taken_over(), halves(&pool, &["nog/a", "nog/b"]));
    pool.netbe().ok("publish");
    assert_eq!(taken_over(), halves(&pool, &["nog/a", "nog/b"]));
    pool.saw_boot("nog", "b");
    pool.netbe().ok("publish");
    assert_eq!(taken_over(), halves(&pool, &["nog/b"]));
    pool.netbe().ok("activate nog/c");
    pool.saw_boot("nog", "c");
    pool.netbe().ok("destroy -y nog/b");
    assert_eq!(taken_over(), halves(&pool, &["nog/c"]));
    assert!(!pool.read("publish/exports").contains("envs/b/"));
    pool.assert_sound();
}

#[test]
fn a_template_and_a_nameless_node_are_never_exported() {
    let pool = Pool::with_node();
    pool.netbe().ok("publish");
    pool.netbe().ok("create nog/b -a");
    assert!(!Path::new(INSTALLED).exists());
    assert!(taken_over().is_empty());
    pool.netbe().ok(&format!("set mac={MAC} nog"));
    assert_eq!(taken_over(), halves(&pool, &["nog/b"]));
    pool.refuses(
        3,
        "set mac=dc:a6:32:01:02:09 base",
        &["base is a template", "hint: netbe create --help"],
    );
    pool.netbe().ok("set mac= nog");
    assert!(taken_over().is_empty());
}

#[test]
fn invariant_6_a_root_on_the_nodes_own_disk_is_not_exported_once_that_is_insisted_on() {
    let pool = Pool::with_served_node();
    for line in [
        "set root=UUID=1234 nog",
        "set root=UUID=1234",
        "set -n root=UUID=1234 nog",
    ] {
        let words = [
            "nog may be running nog/a, and would lose its root",
            "netbe set --force root=UUID=1234",
        ];
        pool.refuses(3, line, &words);
    }
    assert_eq!(taken_over(), halves(&pool, &["nog/a"]));
    pool.netbe().ok("set --force root=UUID=1234 nog");
    assert!(taken_over().is_empty());
    pool.netbe().ok("set root= nog");
    assert_eq!(taken_over(), halves(&pool, &["nog/a"]));
}

#[test]
fn another_pools_exports_are_not_overwritten() {
    let pool = Pool::with_served_node();
    let first = fs::read_to_string(INSTALLED).unwrap();
    let other = pool.at("other");
    let netbe = Netbe::new(&other, pool.beside());
    netbe.ok("init --server 192.0.2.2");
    let system = pool.beside().join("system");
    crate::support::System::debian().build(&system);
    netbe.ok(&format!("import base {}", system.display()));
    netbe.ok("create ordo/x --mac dc:a6:32:01:02:99");
    assert_eq!(fs::read_to_string(INSTALLED).unwrap(), first);
    let files = fs::read_dir("/etc/exports.d").unwrap().count();
    assert_eq!(files, 2);
    let mut both = halves(&pool, &["nog/a"]);
    both.extend(["boot", "root"].map(|h| {
        other
            .join("nodes/ordo/envs/x")
            .join(h)
            .display()
            .to_string()
    }));
    both.sort();
    assert_eq!(taken_over(), both);
    pool.netbe().ok("publish");
    netbe.ok("publish");
    assert_eq!(taken_over(), both);
    netbe.ok("set mac= ordo");
    assert_eq!(taken_over(), halves(&pool, &["nog/a"]));
}

#[test]
fn a_file_that_is_nobodys_is_not_overwritten() {
    let pool = Pool::with_template();
    fs::write(INSTALLED, "/srv/mine 192.0.2.9(ro)\n").unwrap();
    pool.netbe().run(&format!("create nog/a --mac {MAC}"));
    assert_eq!(
        fs::read_to_string(INSTALLED).unwrap(),
        "/srv/mine 192.0.2.9(ro)\n"
    );
    assert_eq!(pool.active("nog"), "a");
}

#[test]
fn clients_that_are_not_in_the_mould_are_refused() {
    let pool = Pool::with_node();
    for bad in ["a(rw)", "a,,b", "-x", "a;b"] {
        pool.refuses(2, &format!("set clients={bad} nog"), &["clients="]);
    }
    let output = pool.netbe().run_with(&["set", "clients=a b", "nog"]);
    assert_eq!(output.status, 2, "{output:#?}");
}

#[test]
fn invariant_6_changes_that_take_the_root_of_a_running_machine_are_refused() {
    let pool = Pool::with_served_node();
    // Nothing has shown yet that it was ever switched on.
    pool.netbe().ok("set ip=dhcp,192.0.2.20 nog");
    pool.saw_boot("nog", "a");
    for line in [
        "set mac= nog",
        "set ip=dhcp,192.0.2.21 nog",
        "set clients=192.0.2.22 nog",
        "set -n clients=192.0.2.22",
    ] {
        let words = [
            "nog runs nog/a, and would lose its root",
            "netbe set --force ",
        ];
        pool.refuses(3, line, &words);
    }
    pool.netbe().ok("set power.cycle=true nog");
    for line in [
        "set -n --force clients=192.0.2.22 nog",
        "set --force clients=192.0.2.22 nog",
    ] {
        let done = pool.netbe().run(line);
        assert!(
            done.stderr.contains("if nog is running, it loses its root"),
            "{done:#?}"
        );
    }
}
