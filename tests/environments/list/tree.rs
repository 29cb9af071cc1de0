//! `list --tree`: origins across nodes and templates, also of what is gone, renamed or damaged.

use crate::support::Pool;

/// Returns what is drawn, without the other columns.
fn tree(pool: &Pool, line: &str) -> Vec<String> {
    let text = pool.netbe().ok(line);
    let width = text.lines().next().unwrap_or_default().find("FLAGS");
    text.lines()
        .skip(1)
        .map(|line| {
            let name: String = line.chars().take(width.unwrap_or(0)).collect();
            name.trim_end().to_string()
        })
        .collect()
}

#[test]
fn origins_are_drawn_as_a_tree() {
    let pool = Pool::with_node();
    for line in ["create nog/b", "create nog/c", "create nog/d --from nog/b"] {
        pool.netbe().ok(line);
    }
    pool.netbe().ok("create ordo/x --from nog/b");
    pool.netbe().ok("pin nog/d");
    assert_eq!(
        tree(&pool, "list --tree"),
        [
            "base/stock",
            "└─ nog/a",
            "   ├─ nog/b",
            "   │  ├─ nog/d",
            "   │  └─ ordo/x",
            "   └─ nog/c"
        ]
    );
    let text = pool.netbe().ok("list --tree");
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["ENVIRONMENT", "FLAGS", "KERNEL", "CREATED"]);
    let row: Vec<&str> = text.lines().nth(4).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["│", "├─", "nog/d", "P"], "{text}");
    assert_eq!(pool.netbe().run("list --tree --json").status, 2);
    assert_eq!(pool.netbe().run("list --tree -H").status, 2);
}

#[test]
fn the_tree_of_one_node_shows_its_origins() {
    let pool = Pool::with_node();
    for line in [
        "create nog/b",
        "create ordo/x --from nog/b",
        "create ordo/y",
        "create werda/w --from base",
    ] {
        pool.netbe().ok(line);
    }
    assert_eq!(
        tree(&pool, "list --tree ordo"),
        [
            "base/stock",
            "└─ nog/a",
            "   └─ nog/b",
            "      └─ ordo/x",
            "         └─ ordo/y"
        ]
    );
    assert_eq!(
        tree(&pool, "list --tree werda base"),
        ["base/stock", "└─ werda/w"]
    );
    assert_eq!(tree(&pool, "list --tree base"), ["base/stock"]);
    pool.netbe().fails(4, "list --tree kira");
}

#[test]
fn destroyed_origins_are_marked_as_gone() {
    let pool = Pool::with_node();
    for line in [
        "create nog/b",
        "create nog/c --from nog/b",
        "create nog/d --from nog/b",
        "destroy -y nog/b",
        // Another one under the old name is not what they came from.
        "create nog/b --from base",
    ] {
        pool.netbe().ok(line);
    }
    assert_eq!(
        tree(&pool, "list --tree"),
        [
            "base/stock",
            "├─ nog/a",
            "│  └─ nog/b (gone)",
            "│     ├─ nog/c",
            "│     └─ nog/d",
            "└─ nog/b"
        ]
    );
    // One of them, with the line that leads to it.
    assert_eq!(
        tree(&pool, "list --tree nog/d"),
        [
            "base/stock",
            "└─ nog/a",
            "   └─ nog/b (gone)",
            "      └─ nog/d"
        ]
    );
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("destroy -y nog/a");
    assert_eq!(
        tree(&pool, "list --tree"),
        [
            "base/stock",
            "├─ nog/b",
            "└─ nog/b (gone)",
            "   ├─ nog/c",
            "   └─ nog/d"
        ]
    );
    pool.netbe().ok("rename nog werda");
    pool.netbe().ok("rename werda/c e");
    pool.netbe().ok("create werda/f --from werda/e");
    assert_eq!(
        tree(&pool, "list --tree"),
        [
            "base/stock",
            "├─ werda/b",
            "└─ nog/b (gone)",
            "   ├─ werda/d",
            "   └─ werda/e",
            "      └─ werda/f"
        ]
    );
}

#[test]
fn a_lost_record_does_not_orphan_its_children() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create nog/c --from nog/b");
    pool.write("nodes/nog/envs/b/env.json", "{");
    assert_eq!(
        tree(&pool, "list --tree"),
        ["base/stock", "└─ nog/a", "nog/b", "└─ nog/c"]
    );
    let output = pool.netbe().run("list --tree nog/b");
    assert!(output.stdout.contains("nog/b        !"), "{output:#?}");
    assert!(output.stderr.contains("env.json"), "{output:#?}");
}

#[test]
fn origins_that_go_in_a_circle_are_still_listed() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let uuid = |env: &str| pool.subvolume_uuid(&format!("nodes/nog/envs/{env}/root"));
    let (a, b) = (uuid("a"), uuid("b"));
    for (env, own, origin) in [("a", &a, &b), ("b", &b, &a)] {
        pool.write(
            &format!("nodes/nog/envs/{env}/env.json"),
            &format!(
                r#"{{"version":1,"uuid":"{own}","created":"2026-01-01T00:00:00Z","boot_mount":"/boot",
                "origin":{{"node":"nog","name":"x\u001b[31m","uuid":"{origin}"}}}}"#
            ),
        );
    }
    assert_eq!(
        tree(&pool, "list --tree nog"),
        ["nog/a (from nog/b)", "└─ nog/b"]
    );
}

#[test]
fn nodes_behind_their_template_are_named() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create ordo/a");
    for line in ["list --tree", "status"] {
        let output = pool.netbe().run(line);
        assert!(
            !output.stdout.contains("behind") && !output.stderr.contains("behind"),
            "{output:#?}"
        );
    }
    pool.netbe().ok("create base/next --from base/stock");
    pool.netbe().ok("activate base/next");
    let command = "netbe create nog ordo --from base --merge --try";
    let note =
        format!("nog, ordo are behind base/next, the template's active environment: {command}");
    let tree = pool.netbe().run("list --tree");
    assert!(
        tree.stdout.contains("nog/a (behind base/next)"),
        "{tree:#?}"
    );
    for output in [&tree, &pool.netbe().run("status")] {
        assert!(output.stderr.contains(&note), "{output:#?}");
    }
    // What it has of it needs only to be activated.
    pool.netbe().ok("create nog/b --from base");
    let output = pool.netbe().ok("status nog");
    assert!(
        output.contains(
            "base/next is newer than base/stock, which it came from: netbe activate --try nog/b"
        ),
        "{output}"
    );
    pool.netbe().ok("activate nog/b");
    let told: serde_json::Value = serde_json::from_str(&pool.netbe().ok("status --json")).unwrap();
    let of = |node: &str| {
        let nodes = told["nodes"].as_array().unwrap();
        nodes.iter().find(|one| one["node"] == node).unwrap()["behind_template"].clone()
    };
    assert_eq!(
        (of("nog"), of("base")),
        (serde_json::Value::Null, serde_json::Value::Null)
    );
    assert_eq!(of("ordo")["came_from"], "base/stock");
    assert_eq!(
        of("ordo")["command"],
        "netbe create ordo --from base --merge --try"
    );
    // The template under another name is the same one.
    pool.netbe().ok("rename base/next newer");
    let output = pool.netbe().ok("status ordo");
    assert!(
        output.contains("base/newer is newer than base/stock"),
        "{output}"
    );
}
