//! Records that are empty, garbage, missing, or of a newer netbe.

use std::fs;

use crate::support::{Pool, refusal};

/// What a record may be found to be, besides missing; the last two are of a newer format.
const BAD: [&str; 8] = [
    "",
    "garbage",
    "{",
    "[]",
    "null",
    "\u{0}\u{0}\u{0}\u{0}",
    r#"{"version":2}"#,
    r#"{"version":99,"uuid":7,"created":null}"#,
];

/// Runs every way of looking; each must answer without a panic, with status 0, or for `check` 1.
fn looking_works(pool: &Pool) {
    for line in [
        "list",
        "list -H",
        "list --json",
        "list --tree",
        "status",
        "get",
        "get --json",
    ] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{line}: {output:#?}");
    }
    for line in ["check", "check --json", "check nog"] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 1, "{line}: {output:#?}");
        assert!(!output.stderr.contains("panicked"), "{output:#?}");
    }
}

#[test]
fn invariant_10_a_bad_env_json_is_one_flagged_row() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let file = pool.at("nodes/nog/envs/b/env.json");
    let spoils: Vec<Box<dyn Fn()>> = BAD
        .iter()
        .map(|bad| {
            let file = file.clone();
            Box::new(move || fs::write(&file, bad).unwrap()) as Box<dyn Fn()>
        })
        .collect();
    for spoil in spoils {
        spoil();
        looking_works(&pool);
        assert_eq!(pool.flags("nog/b"), "?!");
        assert_eq!(pool.flags("nog/a"), "?R");
        let output = pool.netbe().run("list nog");
        assert!(
            output.stderr.contains("warning: nog/b: env.json"),
            "{output:#?}"
        );
        pool.refuses(3, "activate nog/b", &["nog/b would not boot", "env.json"]);
        pool.refuses(3, "destroy -y nog/b", &["nog may be running nog/b"]);
        pool.refuses(3, "create nog/c --from nog/b", &["nog/b is damaged"]);
    }
    fs::remove_file(&file).unwrap();
    looking_works(&pool);
    fs::create_dir(&file).unwrap();
    looking_works(&pool);
    assert_eq!(pool.flags("nog/b"), "?!");
}

#[test]
fn a_lost_env_json_costs_a_description_never_a_boot() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -d precious -a");
    fs::remove_file(pool.at("nodes/nog/envs/b/env.json")).unwrap();
    assert!(
        pool.at("tftp/dc-a6-32-01-02-03/pxelinux.cfg/default")
            .exists()
    );
    pool.netbe().ok("publish");
    assert!(
        pool.at("tftp/dc-a6-32-01-02-03/pxelinux.cfg/default")
            .exists()
    );
    // What runs from it goes on running from it.
    let exports = pool.read("publish/exports");
    assert!(exports.contains("/envs/b/root\""), "{exports}");
    pool.netbe().ok("activate nog/b --force");
    let kernel = pool.netbe().ok("list -H nog/b");
    assert!(kernel.contains("\t6.1.0-50-amd64\t"), "{kernel}");
    let repaired = pool.netbe().run("check --repair");
    assert_eq!(repaired.status, 0, "{repaired:#?}");
    assert_eq!(pool.flags("nog/b"), "?R");
    assert!(pool.netbe().ok("list -H nog/b").ends_with("\t-\n"));
}

#[test]
fn a_bad_node_json_leaves_the_rest_of_the_pool_alone() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create ordo/x");
    let file = pool.at("nodes/nog/node.json");
    for bad in BAD {
        fs::write(&file, bad).unwrap();
        looking_works(&pool);
        assert_eq!(pool.active("nog"), "a");
        let output = pool.netbe().run("status nog");
        assert!(
            output.stderr.contains("warning: nog: node.json"),
            "{output:#?}"
        );
        // What goes by its properties is refused, and nothing overwrites the record.
        for line in [
            "set cmdline=quiet nog",
            "set mac=dc:a6:32:01:02:03 nog",
            "create nog/c",
            "activate nog/b",
            "rollback nog",
            "rename nog/b c",
            "rename nog werda",
            "upgrade --node nog -- true",
            "run nog/b -- true",
            "import nog/c /etc",
        ] {
            let hint = match bad.contains("version") {
                true => "hint: netbe --version",
                false => "--take-over\n",
            };
            pool.refuses(refusal(line), line, &["nog", "node.json", hint]);
        }
        pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
        pool.netbe().ok("pin ordo/x");
    }
    fs::remove_file(&file).unwrap();
    looking_works(&pool);
    pool.refuses(3, "set cmdline=quiet nog", &["node.json"]);
}

/// Pastes what the hint to a lost record says, which asks on a terminal; here it is told beforehand.
fn take_the_way_out(pool: &Pool) -> String {
    let output = pool.netbe().run("set cmdline=quiet nog");
    let (_, hint) = output.stderr.split_once("hint: ").expect("a hint");
    let command = hint.trim().strip_prefix("netbe ").unwrap();
    let shown = pool.netbe().ok(&format!("{command} -n"));
    assert_eq!(pool.names("nog"), ["a", "b"]);
    pool.netbe().ok(&format!("{command} --yes"));
    shown
}

#[test]
fn a_lost_node_json_has_a_way_out_that_keeps_the_environments() {
    for (own, copy) in [
        (Some("garbage"), true),
        (None, true),
        (Some(""), false),
        (None, false),
    ] {
        let pool = Pool::with_served_node();
        pool.netbe().ok("create nog/b");
        pool.netbe().ok("set keep=7 nog");
        let before = pool.netbe().ok("list -H");
        let names = fs::read_dir(pool.at("tftp")).unwrap().count();
        let file = pool.at("nodes/nog/node.json");
        match own {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        if !copy {
            fs::write(pool.path().join("nodes/nog/node.json"), "{").unwrap();
        }
        let shown = take_the_way_out(&pool);
        let told = match copy {
            true => "accept the records of nog",
            false => "make a record for nog, whose own is lost",
        };
        assert!(
            shown.contains(told) && shown.contains("use mac="),
            "{shown}"
        );
        assert_eq!(pool.netbe().ok("list -H"), before);
        assert_eq!(fs::read_dir(pool.at("tftp")).unwrap().count(), names);
        assert_eq!(pool.netbe().ok("get -H keep nog").contains("\t7\t"), copy);
        pool.netbe().ok("set cmdline=quiet nog");
        pool.assert_sound();
        // A template that lost it goes on being one.
        fs::remove_file(pool.at("nodes/base/node.json")).unwrap();
        fs::remove_file(pool.path().join("nodes/base/node.json")).unwrap();
        pool.netbe().ok("init --take-over --yes");
        pool.netbe().ok("create ordo");
    }
}

#[test]
fn a_bad_pool_json_stops_everything_and_is_left_as_it_is() {
    let pool = Pool::with_node();
    for bad in BAD {
        pool.write("pool.json", bad);
        for line in [
            "list",
            "status",
            "get",
            "check",
            "check --repair",
            "create nog/b",
            "set cmdline=quiet",
            "publish",
            "init",
            "destroy -y nog/a",
        ] {
            pool.refuses(1, line, &["pool.json"]);
        }
        if bad.contains("version") {
            pool.refuses(1, "list", &["newer netbe", "format"]);
        }
    }
    fs::remove_file(pool.at("pool.json")).unwrap();
    pool.refuses(1, "list", &["pool.json does not exist", "backup"]);
}

#[test]
fn invariant_15_copies_of_records_on_the_pool_have_no_effect() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set power.cycle=secret nog");
    let known = pool.netbe().ok("get all nog");
    let list = pool.netbe().ok("list -H");
    for text in [
        "",
        "{",
        r#"{"version": 9}"#,
        r#"{"version":1,"uuid":"../../../etc"}"#,
    ] {
        for copy in ["pool.json", "nodes/nog/node.json"] {
            let copy = pool.path().join(copy);
            let was = fs::read_to_string(&copy).unwrap();
            assert!(!was.contains("secret"), "{was}");
            fs::write(&copy, text).unwrap();
            assert_eq!(pool.netbe().ok("get all nog"), known);
            assert_eq!(pool.netbe().ok("list -H"), list);
            let output = pool.netbe().run("check");
            assert!(output.stdout.contains("another server"), "{output:#?}");
            assert_eq!(pool.netbe().run("check --repair").status, 0);
            assert_eq!(fs::read_to_string(&copy).unwrap(), was);
        }
    }
}

#[test]
fn invariant_15_a_record_on_the_pool_is_believed_only_with_its_code() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("pin nog/b");
    let file = pool.at("nodes/nog/envs/b/env.json");
    let own = fs::read_to_string(&file).unwrap();
    let a = pool.read("nodes/nog/envs/a/env.json");
    let unpinned = own.replace("\"pinned\": true", "\"pinned\": false");
    let replaced = own.replacen('{', "{\"replaces\": \"a\",", 1);
    for text in [&a, &unpinned, &replaced] {
        fs::write(&file, text).unwrap();
        assert_eq!(pool.flags("nog/b"), "!");
        assert_eq!(pool.flags("nog/a"), "R");
        let output = pool.netbe().run("check nog");
        assert!(output.stdout.contains("code"), "{output:#?}");
    }
    fs::write(&file, &own).unwrap();
    assert_eq!(pool.flags("nog/b"), "P");
    // What it is of has moved with it.
    pool.netbe().ok("rename nog/b c");
    assert_eq!(pool.flags("nog/c"), "P");
}

#[test]
fn a_bad_pending_json_or_boots_jsonl_is_read_past() {
    let pool = Pool::with_served_node();
    for file in ["pending.json", "boots.jsonl"] {
        for bad in BAD {
            pool.write(&format!("nodes/nog/{file}"), bad);
            for line in ["list", "list --json", "status", "status --json"] {
                assert_eq!(pool.netbe().run(line).status, 0, "{file} {bad:?} {line}");
            }
            let found = i32::from(file == "pending.json");
            assert_eq!(pool.netbe().run("check").status, found, "{file} {bad:?}");
            assert_eq!(pool.flags("nog/a"), "?R", "{file} {bad:?}");
        }
        fs::remove_file(pool.at(&format!("nodes/nog/{file}"))).unwrap();
    }
}

#[test]
fn a_large_file_for_a_record_is_not_read() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::File::options()
        .write(true)
        .open(pool.at("nodes/nog/envs/b/env.json"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert_eq!(pool.flags("nog/b"), "!");
    assert_eq!(pool.netbe().run("list").status, 0);
}

#[test]
fn fields_of_a_newer_netbe_survive_a_change() {
    let pool = Pool::with_node();
    for (file, line) in [
        ("nodes/nog/envs/a/env.json", "pin nog/a"),
        ("nodes/nog/node.json", "set cmdline=quiet nog"),
        ("pool.json", "set cmdline=quiet"),
    ] {
        let text = pool.read(file);
        pool.write(file, &text.replacen('{', "{\"colour\": \"blue\",", 1));
        pool.netbe().ok(line);
        let after = pool.read(file);
        assert!(after.contains(r#""colour": "blue""#), "{file}: {after}");
    }
}

#[test]
fn records_that_claim_to_be_the_same_environment_are_found() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    // As an older netbe's pool may have brought it along.
    let uuid = pool.read("nodes/nog/envs/a/env.json");
    let uuid: serde_json::Value = serde_json::from_str(&uuid).unwrap();
    pool.change_record("nog/b", |record| record["uuid"] = uuid["uuid"].clone());
    let output = pool.netbe().run("check");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output
            .stdout
            .contains("nog/b: its env.json is that of nog/a"),
        "{output:#?}"
    );
}

#[test]
fn invariant_15_a_lost_key_is_reported_with_the_command_that_makes_another() {
    let pool = Pool::with_served_node();
    fs::remove_file(pool.state().join("key")).unwrap();
    let place = pool.path().display().to_string();
    for line in ["list", "create nog/b", "check"] {
        let hint = format!("hint: netbe init {place} --take-over -n\n");
        pool.refuses(3, line, &["the key of the pool at ", &hint]);
    }
    pool.netbe().ok(&format!("init {place} --take-over --yes"));
    pool.netbe().ok("create nog/b");
    pool.assert_sound();
}
