//! A node for any machine: those that no node names boot it, those that one names never do, and each is recorded.

use std::fs;

use super::client::{Got, Wish};
use super::{Scene, scene_of};
use crate::access::{machine_reports, with_web};
use crate::support::{MAC, Pool, wait_until};

const MENU: &str = "pxelinux.cfg/default";
/// Machines that no node names.
const STRANGER: &str = "02:00:00:00:00:99";
const ANOTHER: &str = "02:00:00:00:00:98";

/// A node for any machine, and one for the machine of the network.
pub(crate) fn with_any() -> Pool {
    let pool = with_web();
    pool.netbe().ok("set --force mac=any web");
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool
}

/// Returns the node that a menu is of.
fn node_of(got: Got) -> Option<String> {
    let Got::File(bytes) = got else {
        return None;
    };
    let text = String::from_utf8(bytes).unwrap();
    let (_, rest) = text.split_once("/nodes/").unwrap();
    Some(rest.split('/').next().unwrap().to_string())
}

impl Scene {
    fn boots(&self, name: &str) -> Option<String> {
        node_of(self.get(name))
    }

    /// Returns the machines of `web`, by status.
    fn machines(&self) -> Vec<String> {
        let output = self.pool.netbe().ok("status --json web");
        let output: serde_json::Value = serde_json::from_str(&output).unwrap();
        let machines = output["nodes"][0]["machines"].as_array().unwrap();
        let name = |one: &serde_json::Value| one["name"].as_str().unwrap().to_string();
        machines.iter().map(name).collect()
    }
}

#[test]
fn an_unnamed_machine_boots_the_node_for_any_and_is_recorded() {
    let scene = scene_of(with_any());
    assert_eq!(scene.boots(MENU).as_deref(), Some("nog"));
    assert_eq!(scene.machines(), [""; 0]);
    scene.network.client_has(STRANGER);
    for name in [
        MENU.to_string(),
        format!("/{MENU}"),
        format!("02-00-00-00-00-99/{MENU}"),
        format!("any/{MENU}"),
    ] {
        assert_eq!(scene.boots(&name).as_deref(), Some("web"), "{name}");
    }
    assert_eq!(scene.machines(), ["02-00-00-00-00-99"]);
    let output = scene.pool.netbe().ok("status web");
    let line = "02-00-00-00-00-99: has not reported, and may run a; boots a next";
    assert!(output.contains(line), "{output}");
    // What is in front of a name counts for what it is: another's.
    let name = format!("{}/{MENU}", MAC.replace(':', "-"));
    assert_eq!(scene.boots(&name).as_deref(), Some("nog"));
    assert_eq!(scene.get("nonsense"), Got::Error(1));
    assert_eq!(scene.get("02-00-00-00-00-99"), Got::Error(1));
}

#[test]
fn invariant_3_a_named_machine_never_boots_the_node_for_any() {
    let scene = scene_of(with_any());
    let pool = &scene.pool;
    let record = pool.of_node("nog", "node.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, "garbage").unwrap();
    assert_eq!(scene.boots(MENU).as_deref(), Some("nog"));
    fs::write(&record, &text).unwrap();
    // Nothing to boot is nothing to boot.
    let active = pool.path().join("nodes/nog/active");
    fs::remove_file(&active).unwrap();
    assert_eq!(scene.get(MENU), Got::Error(1));
    let name = format!("{}/{MENU}", MAC.replace(':', "-"));
    assert_eq!(scene.get(&name), Got::Error(1));
    std::os::unix::fs::symlink("envs/a", &active).unwrap();
    assert_eq!(scene.boots(MENU).as_deref(), Some("nog"));

    // Behind a router nobody's card is seen: a name in front tells.
    scene.network.client_has(STRANGER);
    // It knows the server's card from here on: asking for that would show its own.
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    scene.network.client_is_routed_at("198.51.100.1");
    let routed = |name: &str| {
        let wish = Wish {
            from: "198.51.100.1",
            ..Wish::new(name)
        };
        node_of(scene.get_as(wish))
    };
    assert_eq!(routed(MENU), None);
    assert_eq!(routed(&format!("any/{MENU}")), None);
    let name = format!("02-00-00-00-00-98/{MENU}");
    assert_eq!(routed(&name).as_deref(), Some("web"));
    assert_eq!(scene.machines(), ["02-00-00-00-00-98", "02-00-00-00-00-99"]);

    // As nobody would set it: one whose machine asks by its serial only later.
    fs::write(&record, text.replace("\"mac\"", "\"serial\"")).unwrap();
    assert_eq!(scene.get(MENU), Got::Error(0));
    let output = scene.serve.log_text();
    assert!(output.contains("known by its serial alone"), "{output}");
    let output = pool.netbe().run("check").stdout;
    assert!(
        output.contains("serves no machine while nog is known"),
        "{output}"
    );
    fs::write(&record, &text).unwrap();
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
}

#[test]
fn invariant_3_while_a_pool_cannot_be_read_no_stranger_is_served() {
    let pool = with_any();
    let other = pool.another();
    let network = crate::network::Network::new(&pool);
    let serve = super::Serve::start_for_all(&pool);
    let scene = Scene {
        serve,
        network,
        pool,
    };
    scene.network.client_has(STRANGER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    let record = other.state().join("pool.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, "garbage").unwrap();
    wait_until("no stranger is served", || scene.get(MENU) == Got::Error(0));
    // Also between two looks at the pools.
    for _ in 0..3 {
        assert_eq!(scene.get(MENU), Got::Error(0));
    }
    scene.network.client_has(MAC);
    assert_eq!(scene.boots(MENU).as_deref(), Some("nog"));
    fs::write(&record, &text).unwrap();
    scene.network.client_has(STRANGER);
    wait_until("strangers are served again", || {
        scene.boots(MENU).as_deref() == Some("web")
    });
}

#[test]
fn invariant_6_the_environment_of_an_unnamed_machine_stays_until_it_reports_another_or_is_forgotten()
 {
    let scene = scene_of(with_any());
    let pool = &scene.pool;
    // One whose machine is not known may be booting at any moment.
    assert_eq!(pool.flags("web/a"), "?R");
    scene.network.client_has(STRANGER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    scene.network.client_has(ANOTHER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    pool.netbe().ok("create web/b");
    assert_eq!(pool.flags("web/b"), "-");
    pool.netbe().ok("activate web/b");
    assert_eq!(
        (pool.flags("web/a"), pool.flags("web/b")),
        ("?".into(), "?R".into())
    );
    let words = [
        "web may be running web/a, on 2 of its 2 machines",
        "02-00-00-00-00-98 may have booted a at ",
        "is forgotten",
        "netbe set --force mac=any web",
    ];
    pool.refuses(3, "destroy -y web/a", &words);
    machine_reports(pool, STRANGER, "b", "1");
    assert_eq!(pool.flags("web/b"), "NR");
    let words = ["on 1 of its 2 machines (02-00-00-00-00-98 may have booted a"];
    pool.refuses(3, "destroy -y web/a", &words);
    // It is back at the old one, and only the server knows.
    pool.netbe().ok("activate web/a");
    scene.network.client_has(STRANGER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    pool.netbe().ok("activate web/b");
    pool.refuses(3, "destroy -y web/a", &["on 2 of its 2 machines"]);
    machine_reports(pool, STRANGER, "b", "2");
    pool.refuses(3, "destroy -y web/a", &["on 1 of its 2 machines"]);

    // To those that may be running, no other command takes the boot files away.
    let line = format!("set mac={STRANGER} web");
    let words = [
        "02-00-00-00-00-98 of web may have booted a at ",
        "would lose its boot files",
    ];
    pool.refuses(3, &line, &words);
    // Just before it is forgotten.
    scene.network.client_has(ANOTHER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    let planned = pool.netbe().ok("set -n --force mac=any web");
    let words = "forget the last boot of 02-00-00-00-00-98: no environment of web is kept for that";
    assert!(planned.contains(words), "{planned}");
    assert_eq!(scene.machines().len(), 2);
    pool.netbe().ok("set --force mac=any web");
    assert_eq!(scene.machines(), ["02-00-00-00-00-99"]);
    pool.netbe().ok("destroy -y web/a");
    // Where it was forgotten in error, its next file tells.
    scene.network.client_has(ANOTHER);
    assert_eq!(scene.boots(MENU).as_deref(), Some("web"));
    assert_eq!(scene.machines().len(), 2);
    // What neither has fetched, neither runs.
    pool.netbe().ok("create web/c -a");
    pool.netbe().ok("activate web/b");
    pool.netbe().ok("destroy -y web/c");
}

#[test]
fn an_environment_for_one_machine_is_not_served_to_strangers() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set access=ro nog");
    pool.netbe().ok(&format!("set mac={MAC},any nog"));
    let scene = scene_of(pool);
    assert_eq!(scene.boots(MENU).as_deref(), Some("nog"));
    scene.network.client_has(STRANGER);
    assert_eq!(scene.get(MENU), Got::Error(0));
    let output = scene.serve.log_text();
    assert!(output.contains("a was made for one machine"), "{output}");
    assert!(output.contains("set --existing nog"), "{output}");
}
