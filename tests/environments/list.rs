//! `list`: the shapes that scripts rely on.

mod long;
mod tree;

use std::fs;

use serde_json::Value;

use crate::support::{Pool, System, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn machine_fields_are_those_of_the_contract() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("pin nog/b");
    assert_eq!(
        pool.netbe()
            .run_with(&["describe", "nog/b", "two words"])
            .status,
        0
    );
    let text = pool.netbe().ok("list -H");
    let rows: Vec<Vec<_>> = text.lines().map(|l| l.split('\t').collect()).collect();
    assert_eq!(rows.len(), 3, "{text}");
    for row in &rows {
        assert_eq!(row.len(), 9, "{row:?}");
        assert!(row[4].parse::<u64>().unwrap() > 1_600_000_000, "{row:?}");
    }
    let version = System::debian().version().to_string();
    let fields = |row: &[&str]| {
        [
            row[0], row[1], row[2], row[3], row[5], row[6], row[7], row[8],
        ]
        .join("|")
    };
    assert_eq!(fields(&rows[0]), format!("base|stock|R|{version}|-|-|-|-"));
    assert_eq!(
        fields(&rows[1]),
        format!("nog|a|?R|{version}|-|-|base/stock|-")
    );
    assert_eq!(
        fields(&rows[2]),
        format!("nog|b|P|{version}|-|-|nog/a|two words")
    );
}

#[test]
fn json_is_the_document_of_the_contract() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -d hello");
    pool.write(
        "nodes/nog/pending.json",
        r#"{"env":"b","kind":"try","until":"x"}"#,
    );
    let document = json(&pool.netbe().ok("list --json nog"));
    assert_eq!(document["version"], 1);
    let envs = document["environments"].as_array().unwrap();
    assert_eq!(envs.len(), 2);
    let (a, b) = (&envs[0], &envs[1]);
    for (key, want) in [
        ("node", Value::from("nog")),
        ("name", "a".into()),
        ("complete", true.into()),
        ("active", true.into()),
        ("booted", Value::Null),
        ("pending", Value::Null),
        ("pinned", false.into()),
        ("description", "".into()),
        ("arch", "x86_64".into()),
        ("kernel", System::debian().version().into()),
        ("space", Value::Null),
        ("root", pool.half("nog/a", "root").to_str().unwrap().into()),
        ("boot", pool.half("nog/a", "boot").to_str().unwrap().into()),
        ("uuid", pool.subvolume_uuid("nodes/nog/envs/a/root").into()),
    ] {
        assert!(a.get(key).is_some(), "{key} is missing");
        assert_eq!(a[key], want, "{key}");
    }
    assert_eq!(a["origin"]["node"], "base");
    assert_eq!(a["origin"]["name"], "stock");
    assert_eq!(b["origin"]["uuid"], a["uuid"]);
    // Its names lead to it, and nothing has been seen of the node.
    assert_eq!(b["booted"], Value::Null);
    assert_eq!(b["pending"], "try");
    assert_eq!(b["description"], "hello");
    let created = b["created"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.len() == 20, "{created}");
    let first = json(&pool.netbe().ok("list --json base"));
    assert_eq!(first["environments"][0]["origin"], Value::Null);
}

#[test]
fn an_empty_pool_has_an_empty_list() {
    let pool = Pool::new();
    assert_eq!(pool.netbe().ok("list -H"), "");
    assert_eq!(
        json(&pool.netbe().ok("list --json"))["environments"],
        Value::Array(Vec::new())
    );
    assert_eq!(pool.netbe().ok("list --tree"), "");
    assert_eq!(pool.netbe().run("list").status, 0);
    pool.assert_sound();
}

#[test]
fn the_table_has_a_head_and_plain_text() {
    let pool = Pool::with_node();
    pool.netbe().ok("pin nog/a");
    let head = |table: &str| table.lines().next().unwrap().contains("DESCRIPTION");
    // What says nothing of any of them is left out.
    assert!(!head(&pool.netbe().ok("list")));
    pool.netbe().ok("describe nog/a words");
    let table = pool.netbe().ok("list");
    let lines: Vec<Vec<_>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "NODE",
            "ENVIRONMENT",
            "FLAGS",
            "KERNEL",
            "CREATED",
            "DESCRIPTION"
        ]
    );
    assert_eq!(
        lines[2][..4],
        ["nog", "a", "RP", System::debian().version()]
    );
    assert!(!table.contains('\u{1b}'), "{table:?}");
    assert_eq!(pool.netbe().ok("ls"), table);
    assert!(pool.netbe().ok("list --color always").contains('\u{1b}'));
    for line in table.lines() {
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn operands_choose_and_a_missing_one_is_not_found() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let rows = |line: &str| {
        pool.netbe()
            .ok(line)
            .lines()
            .map(|l| l.split('\t').take(2).collect::<Vec<_>>().join("/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("list -H nog"), ["nog/a", "nog/b"]);
    assert_eq!(rows("list -H nog/b base"), ["base/stock", "nog/b"]);
    pool.refuses(4, "list ordo", &["no node ordo"]);
    pool.refuses(4, "list nog/zz", &["no environment nog/zz"]);
}

#[test]
fn sorting_goes_by_name_or_time_up_or_down() {
    let pool = Pool::with_node();
    for name in ["z", "m"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    let names = |line: &str| {
        pool.netbe()
            .ok(line)
            .lines()
            .map(|l| l.split('\t').nth(1).unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("list -H nog"), ["a", "m", "z"]);
    assert_eq!(names("list -H nog -s name"), ["a", "m", "z"]);
    assert_eq!(names("list -H nog -S name"), ["z", "m", "a"]);
    assert_eq!(names("list -H nog -s created"), ["a", "z", "m"]);
    assert_eq!(names("list -H nog -S created"), ["m", "z", "a"]);
    assert_eq!(pool.netbe().run("list -s colour").status, 2);
}

#[test]
fn links_and_files_at_the_place_of_a_node_are_warned_of() {
    let pool = Pool::with_node();
    std::os::unix::fs::symlink("nog", pool.at("nodes/kira")).unwrap();
    pool.write("nodes/werda", "x");
    run(std::process::Command::new("mkfifo").arg(pool.at("nodes/pipe")));
    for (node, what) in [
        ("kira", "is a link"),
        ("werda", "is a file"),
        ("pipe", "is no directory"),
    ] {
        let why = format!(
            "warning: {node}: {}/nodes/{node} {what}",
            pool.path().display()
        );
        for line in ["list", "list --tree", "list --json", "list -H", "status"] {
            let output = pool.netbe().run(line);
            assert_eq!(output.status, 0, "{line}: {output:#?}");
            assert!(output.stderr.contains(&why), "{line}: {output:#?}");
            let row = output.stdout.lines().find(|row| row.starts_with(node));
            let words = row.map(|row| {
                row.split_whitespace()
                    .nth(if line == "list" { 2 } else { 1 })
            });
            match line {
                "list" | "list --tree" => assert_eq!(words, Some(Some("!")), "{line}: {output:#?}"),
                "status" => assert!(row.is_some(), "{output:#?}"),
                _ => assert_eq!(row, None, "{line}: {output:#?}"),
            }
        }
        pool.refuses(
            4,
            &format!("status {node}"),
            &["is not a node", what, "hint: netbe check"],
        );
    }
}

#[test]
fn a_description_cannot_disturb_terminal_or_fields() {
    let pool = Pool::with_node();
    let output = pool
        .netbe()
        .run_with(&["describe", "nog/a", "two\nlines\tand \u{1b}[31m"]);
    assert_eq!(output.status, 2, "{output:#?}");
    let file = "nodes/nog/envs/a/env.json";
    let record = pool.read(file).replace(
        r#""description": """#,
        r#""description": "x\ty\n\u001b[31mz""#,
    );
    pool.write(file, &record);
    let row = pool.netbe().ok("list -H nog/a");
    assert_eq!(row.lines().count(), 1, "{row:?}");
    assert_eq!(row.split('\t').count(), 9, "{row:?}");
    assert!(!pool.netbe().ok("list").contains('\u{1b}'));
}

#[test]
fn invariant_10_reading_commands_change_nothing_and_take_no_lock() {
    let pool = Pool::with_served_node();
    fs::remove_dir_all(pool.at("locks")).unwrap();
    let before = crate::support::Fingerprint::of(pool.path());
    for line in [
        "list",
        "list -H",
        "list --json",
        "list --tree",
        "status",
        "status --json",
        "get",
        "get --json",
        "check",
        "check --json",
        "publish -n",
    ] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{line}: {output:#?}");
    }
    before.assert_unchanged(&crate::support::Fingerprint::of(pool.path()));
}

#[test]
fn flags_show_booted_active_pending_and_damaged_environments() {
    let pool = Pool::with_served_node();
    assert_eq!(pool.flags("nog/a"), "?R");
    pool.saw_boot("nog", "a");
    assert_eq!(pool.flags("nog/a"), "NR");
    pool.netbe().ok("create nog/b -a");
    assert_eq!(pool.flags("nog/a"), "N");
    // Whether all that the node fetches is seen is not known where its address is not.
    assert_eq!(pool.flags("nog/b"), "?R");
    pool.write("nodes/nog/pending.json", r#"{"env":"b","kind":"once"}"#);
    assert_eq!(pool.flags("nog/b"), "?RT");
    fs::remove_file(pool.at("nodes/nog/envs/b/env.json")).unwrap();
    assert_eq!(pool.flags("nog/b"), "?RT!");
}

#[test]
fn an_origin_has_the_name_that_it_has_now() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create nog/c --from nog/b");
    pool.netbe().ok("rename nog/b better");
    for line in ["list -H", "list -H nog/c"] {
        let listed = pool.netbe().ok(line);
        let of_c = listed.lines().find(|l| l.starts_with("nog\tc\t")).unwrap();
        assert_eq!(of_c.split('\t').nth(7), Some("nog/better"), "{line}");
    }
    let json: Value = serde_json::from_str(&pool.netbe().ok("list --json nog/c")).unwrap();
    assert_eq!(json["environments"][0]["origin"]["name"], "better");
    // What is gone has the name that it had when this was made from it.
    pool.netbe().ok("destroy -y nog/better");
    let listed = pool.netbe().ok("list -H nog/c");
    assert_eq!(listed.split('\t').nth(7), Some("nog/b"), "{listed:?}");
}
