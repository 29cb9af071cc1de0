//! The name, node and record of an imported environment.

use std::fs;

use serde_json::Value;

use crate::support::{MAC, Pool};
use crate::two;

fn text(pool: &Pool, environment: &str, path: &str) -> String {
    fs::read_to_string(pool.half(environment, "root").join(path)).unwrap()
}

fn listed(pool: &Pool, environment: &str) -> Value {
    let all: Value = serde_json::from_str(&pool.netbe().ok("list --json")).unwrap();
    let (node, name) = environment.split_once('/').unwrap();
    let found = all["environments"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["node"] == node && e["name"] == name);
    found.unwrap().clone()
}

#[test]
fn the_same_node_stays_the_machine_it_is() {
    let (here, there) = two();
    here.netbe().ok(&format!("set mac={MAC} nog"));
    here.netbe().ok("set cmdline=quiet nog");
    here.netbe().ok("create nog/b -d second");
    here.netbe().ok("pin nog/b");
    let output = here.sends("nog/b", &there, "nog");
    assert!(
        output
            .stdout
            .starts_with("Imported nog/b as a new node, kernel "),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .contains("no machine can ask for nog yet: netbe set mac="),
        "{output:?}"
    );
    for file in [
        "etc/machine-id",
        "etc/hostname",
        "etc/ssh/ssh_host_ecdsa_key",
    ] {
        assert_eq!(
            text(&here, "nog/b", file),
            text(&there, "nog/b", file),
            "{file}"
        );
    }
    let (sent, come) = (listed(&here, "nog/b"), listed(&there, "nog/b"));
    for same in ["uuid", "created", "description", "arch", "kernel", "origin"] {
        assert_eq!(sent[same], come[same], "{same}");
    }
    assert_eq!(
        (&come["pinned"], &come["active"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    let line = there.boot_text("nog/b");
    let root = there.half("nog/b", "root");
    assert!(
        line.contains(root.to_str().unwrap()) && !line.contains("quiet"),
        "{line}"
    );
    // The same again is another one.
    here.sends("nog/b", &there, "nog");
    let names = there.names("nog");
    assert_eq!(names.len(), 2, "{names:?}");
    let twin = listed(
        &there,
        &format!("nog/{}", names.iter().find(|n| *n != "b").unwrap()),
    );
    assert_ne!(twin["uuid"], sent["uuid"]);
    assert_eq!(twin["origin"]["uuid"], sent["uuid"]);
    assert_eq!(twin["description"], "second");
    // A machine boots from one pool.
    here.netbe().ok("set mac= nog");
    there.netbe().ok(&format!("set mac={MAC} nog"));
    there.assert_sound();
}

#[test]
fn another_node_gets_an_identity_of_its_own() {
    let (here, there) = two();
    let stream = here.exported("nog/a");
    let output = there
        .netbe()
        .ok(&format!("import web {} -d copied", stream.display()));
    assert!(
        output.starts_with("Imported web/a as a new node, kernel "),
        "{output}"
    );
    assert_eq!(text(&there, "web/a", "etc/hostname"), "web\n");
    for file in ["etc/ssh/ssh_host_ecdsa_key", "etc/hostname"] {
        assert_ne!(
            text(&here, "nog/a", file),
            text(&there, "web/a", file),
            "{file}"
        );
    }
    let (sent, come) = (listed(&here, "nog/a"), listed(&there, "web/a"));
    assert_ne!(sent["uuid"], come["uuid"]);
    assert_eq!(
        (&come["origin"]["node"], &come["origin"]["uuid"]),
        (&"nog".into(), &sent["uuid"])
    );
    assert_eq!(come["description"], "copied");
    // One that is there stays who it is.
    let output = there
        .netbe()
        .run(&format!("import web/own {}", stream.display()));
    assert!(
        output.stderr.contains("web keeps its identity"),
        "{output:#?}"
    );
    for file in ["etc/ssh/ssh_host_ecdsa_key", "etc/hostname"] {
        assert_eq!(
            text(&there, "web/a", file),
            text(&there, "web/own", file),
            "{file}"
        );
    }
    // In the pool it comes from, too, and what it is since is found in whatever node has it.
    here.netbe().ok("create nog/b");
    fs::write(here.half("nog/b", "root").join("srv/new"), "new").unwrap();
    here.sends("nog/b --since nog/a", &there, "web/b");
    assert_eq!(text(&there, "web/b", "srv/new"), "new");
    assert_eq!(text(&there, "web/b", "etc/hostname"), "web\n");
    let changes = here.exported("nog/b --since nog/a");
    here.netbe()
        .ok(&format!("import nog/again {}", changes.display()));
    here.assert_sound();
    there.assert_sound();
}

#[test]
fn templates_arrive_as_templates() {
    let (here, there) = two();
    let output = here.sends("base", &there, "base");
    assert!(
        output
            .stdout
            .starts_with("Imported base/stock as a template, kernel "),
        "{output:?}"
    );
    assert!(!output.stderr.contains("no machine can ask"), "{output:?}");
    there.netbe().ok("create nog/x");
    there.assert_sound();
    // Into a node that is there it is one more.
    here.sends("base/stock", &there, "nog/fresh");
    assert_eq!(text(&there, "nog/fresh", "etc/hostname"), "nog\n");
    assert_eq!(there.active("nog"), "x");
}

#[test]
fn dry_runs_print_the_steps() {
    let (here, there) = two();
    let plan = here.plans("export nog/a");
    assert_eq!(plan.lines().count(), 3, "{plan}");
    let stream = here.exported("nog/a");
    let plan = there.plans(&format!("import nog {}", stream.display()));
    let steps: Vec<&str> = plan.lines().collect();
    assert_eq!(steps[0], "would make node nog");
    assert!(
        steps[1].starts_with("would receive nog/a of 20") && steps[1].ends_with(" as nog/a"),
        "{plan}"
    );
    let plan = there.plans(&format!("import web/x {}", stream.display()));
    assert!(plan.contains("give web/x an identity of its own"), "{plan}");
    here.plans("export nog/a --since nog/a --no-base");
    there
        .netbe()
        .ok(&format!("import nog {}", stream.display()));
    here.netbe().ok("create nog/b");
    let changes = here.exported("nog/b --since nog/a");
    let plan = there.plans(&format!("import nog {}", changes.display()));
    assert!(
        plan.contains("would receive what changed to nog/b of 20"),
        "{plan}"
    );
    assert!(plan.contains(" since nog/a as nog/b"), "{plan}");
}

#[test]
fn refusals_come_before_anything_is_done() {
    let (here, there) = two();
    let stream = here.exported("nog/a");
    let file = stream.display();
    there.netbe().ok(&format!("import nog {file}"));
    there.refuses(
        3,
        &format!("import nog/a {file}"),
        &["nog/a already exists"],
    );
    there.refuses(2, &format!("import nog/x {file} --boot /boot"), &["--boot"]);
    there.refuses(4, "export nog/none -o /dev/null", &["none"]);
    there.refuses(4, "export none -o /dev/null", &["none"]);
    here.netbe().ok("create nog/b");
    here.refuses(
        3,
        "export nog/a --since nog/b -o /dev/null",
        &[
            "neither exported nor imported",
            "in full\nhint: netbe export nog/a",
        ],
    );
    there.refuses(1, "import nog/x /nowhere", &["/nowhere"]);
    // What is damaged is not passed on.
    fs::remove_file(here.at("nodes/nog/envs/b/env.json")).unwrap();
    here.refuses(3, "export nog/b -o /dev/null", &["damaged"]);
}

#[test]
fn an_import_that_would_not_boot_is_flagged_and_not_activated() {
    let (here, there) = two();
    here.netbe().ok("create nog/b");
    let modules = here.half("nog/b", "root").join("usr/lib/modules");
    fs::remove_dir_all(modules).unwrap();
    let stream = here.exported("nog/b");
    let output = there
        .netbe()
        .fails(3, &format!("import nog {}", stream.display()));
    assert!(output.contains("nog/b would not boot: "), "{output}");
    assert!(!there.at("nodes/nog").exists());
    there
        .netbe()
        .ok(&format!("import nog {}", here.exported("nog/a").display()));
    let output = there
        .netbe()
        .run(&format!("import nog {}", stream.display()));
    assert_eq!(output.status, 0, "{output:?}");
    assert!(output.stderr.contains("would not boot"), "{output:?}");
    assert_eq!(there.flags("nog/b"), "!");
}
