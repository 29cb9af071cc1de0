//! `check`: what it finds, and in which shape it says so.

mod filesystem;
mod http_port;
mod in_common;
mod limits;
mod remedies;
mod repair;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Pool, System};

#[test]
fn a_sound_pool_is_called_sound() {
    let pool = Pool::with_served_node();
    assert_eq!(pool.netbe().ok("check"), "Everything is sound.\n");
    assert_eq!(pool.netbe().ok("check nog"), "Everything is sound.\n");
    assert_eq!(pool.netbe().ok("check -q"), "");
    let document: Value = serde_json::from_str(&pool.netbe().ok("check --json")).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["findings"], Value::Array(Vec::new()));
    pool.refuses(4, "check ordo", &["no node ordo"]);
}

#[test]
fn a_foreign_file_at_a_tftp_name_is_reported_for_its_node_alone() {
    let pool = Pool::with_served_node();
    pool.netbe()
        .ok("create ordo --from base --mac 02:00:00:00:77:01");
    let name = pool.at("tftp/02-00-00-00-77-01");
    fs::remove_file(&name).unwrap();
    fs::create_dir(&name).unwrap();
    let output = pool.netbe().run("check ordo");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output
            .stdout
            .contains("02-00-00-00-77-01 is not a link made by netbe"),
        "{output:#?}"
    );
    assert_eq!(pool.netbe().ok("check nog"), "Everything is sound.\n");
    fs::remove_dir(&name).unwrap();
    let output = pool.netbe().run("check ordo");
    assert!(
        output.stdout.contains("not up to date: to link"),
        "{output:#?}"
    );
    pool.netbe().ok("check ordo --repair");
    assert_eq!(pool.netbe().ok("check ordo"), "Everything is sound.\n");
    // What all nodes need.
    fs::remove_file(pool.at("publish/exports")).unwrap();
    for node in ["ordo", "nog"] {
        let output = pool.netbe().run(&format!("check {node}"));
        assert!(
            output.stdout.contains("not up to date: to write"),
            "{output:#?}"
        );
    }
}

#[test]
fn a_finding_has_a_thing_a_problem_and_a_remedy() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    fs::remove_dir_all(pool.half("nog/b", "root").join("usr/lib/modules")).unwrap();
    let output = pool.netbe().run("check --json");
    assert_eq!(output.status, 1, "{output:#?}");
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let finding = &document["findings"][0];
    assert_eq!(finding["about"], "nog/b");
    assert!(
        finding["problem"].as_str().unwrap().contains("modules"),
        "{finding}"
    );
    assert!(
        finding["remedy"]
            .as_str()
            .unwrap()
            .contains("netbe shell nog/b"),
        "{finding}"
    );
    assert_eq!(finding["repairable"], false);
    let output = pool.netbe().run("check");
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(
        lines[0].starts_with("nog/b: it would not boot: "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("  remedy: "), "{lines:?}");
    // Only what was asked about.
    assert_eq!(pool.netbe().run("check base").status, 0);
}

#[test]
fn damage_by_hand_is_found() {
    type Spoil = fn(&Pool);
    let table: &[(Spoil, &str)] = &[
        (
            |p| fs::write(p.half("nog/a", "boot").join("cmdline.txt"), "quiet\n").unwrap(),
            "nog/a: ",
        ),
        (
            |p| fs::remove_file(p.half("nog/a", "boot").join("cmdline.txt")).unwrap(),
            "nog/a: ",
        ),
        (
            |p| fs::write(p.half("nog/a", "root").join("etc/fstab"), "").unwrap(),
            "nog/a: it would not boot: ",
        ),
        (
            |p| p.subvolume("nodes/nog/envs/a/root/srv/inner"),
            "nested subvolume srv/inner",
        ),
        (
            |p| {
                let open = fs::Permissions::from_mode(0o755);
                fs::set_permissions(p.at("nodes"), open).unwrap();
            },
            "every user of this server can reach",
        ),
    ];
    for (spoil, words) in table {
        let pool = Pool::with_template_of(&System::raspberry_pi());
        pool.netbe().ok("create nog/a --serial 9ffefdef");
        pool.assert_sound();
        spoil(&pool);
        let output = pool.netbe().run("check");
        assert_eq!(output.status, 1, "{words}: {output:#?}");
        assert!(output.stdout.contains(words), "{words}: {output:#?}");
    }
}

#[test]
fn an_environment_that_would_boot_after_all_is_recorded_so() {
    let pool = Pool::with_node();
    let modules = |env| pool.half(env, "root").join("usr/lib/modules");
    let aside = |env| pool.half(env, "root").join("usr/lib/aside");
    pool.netbe().ok("create nog/b");
    fs::rename(modules("nog/b"), aside("nog/b")).unwrap();
    pool.netbe().ok("create nog/c --from nog/b");
    assert_eq!(pool.flags("nog/c"), "!");
    for env in ["nog/b", "nog/c"] {
        fs::rename(aside(env), modules(env)).unwrap();
    }
    let found = pool.netbe().run("check").stdout;
    assert!(
        found.contains("nog/c: it is recorded as one that would not boot, and would\n"),
        "{found}"
    );
    assert!(!found.contains("nog/b: "), "{found}");
    let plan = pool.netbe().run("check --repair -n").stdout;
    assert!(
        plan.contains("would record that nog/c would boot\n"),
        "{plan}"
    );
    pool.netbe().ok("check --repair");
    assert_eq!(pool.flags("nog/c"), "-");
    pool.assert_sound();
}
