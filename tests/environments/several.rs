//! Several nodes at once: names, patterns, and names that mean nothing.

use crate::support::Pool;

fn pool() -> Pool {
    let pool = Pool::with_node();
    for node in ["rack1-a", "rack1-b"] {
        pool.netbe().ok(&format!("create {node}/first"));
    }
    pool
}

#[test]
fn a_pattern_stands_for_the_nodes_it_matches() {
    let pool = pool();
    let nodes = |line: &str, field: usize| -> Vec<String> {
        let output = pool.netbe().ok(line);
        let field = |line: &str| line.split('\t').nth(field).unwrap_or_default().to_string();
        let mut all: Vec<String> = output.lines().map(field).collect();
        all.dedup();
        all
    };
    assert_eq!(nodes("list -H rack1-*", 0), ["rack1-a", "rack1-b"]);
    assert_eq!(nodes("list -H rack?-b nog", 0), ["nog", "rack1-b"]);
    assert_eq!(nodes("get -H keep rack1-* nog", 0).len(), 3);
    let status = pool.netbe().ok("status rack1-*");
    assert!(
        status.contains("rack1-a") && !status.contains("nog"),
        "{status}"
    );
    pool.netbe().ok("set keep=3 rack1-*");
    assert!(pool.netbe().ok("get -H keep rack1-b").contains("\t3\t"));
    assert!(!pool.netbe().ok("get -H keep nog").contains("\t3\t"));
    pool.netbe().ok("set keep=4 --all");
    assert!(pool.netbe().ok("get -H keep nog").contains("\t4\t"));
    assert!(!pool.netbe().ok("get -H keep base").contains("\t4\t"));
    pool.netbe().ok("pin rack1-*");
    assert!(pool.flags("rack1-a/first").contains('P'));
    pool.netbe().ok("unpin rack1-*");
    pool.netbe().ok("create rack1-*");
    assert_eq!(pool.names("rack1-a").len(), 2);
    assert_eq!(pool.names("nog").len(), 1);
    pool.netbe().ok("prune -n rack1-*");
    pool.netbe().ok("dedupe -n rack1-*");
    let planned = pool.netbe().ok("upgrade -n rack1-* -- true");
    assert!(
        planned.contains("rack1-a/") && planned.contains("rack1-b/") && !planned.contains("nog/"),
        "{planned}"
    );
    let made = pool
        .names("rack1-a")
        .into_iter()
        .find(|name| name != "first")
        .unwrap();
    pool.netbe()
        .ok(&format!("activate rack1-a/{made} rack1-b/first"));
    pool.netbe().ok("rollback rack1-a*");
    assert_eq!(pool.active("rack1-a"), "first");
    pool.netbe().ok("activate --cancel rack1-*");
    pool.netbe().ok("destroy -r -y rack1-*");
    assert_eq!(nodes("list -H", 0), ["base", "nog"]);
}

#[test]
fn all_means_every_node_except_templates() {
    let pool = pool();
    for line in ["list -H --all", "get -H keep --all", "status --all"] {
        let output = pool.netbe().ok(line);
        assert!(
            output.contains("nog")
                && output.contains("rack1-b")
                && !format!("\n{output}").contains("\nbase"),
            "{line}: {output}"
        );
    }
    pool.netbe().ok("dedupe -n --all");
    pool.netbe().ok("prune -n --all");
    for line in ["list", "get keep", "status", "prune", "dedupe"] {
        pool.netbe().fails(2, &format!("{line} nog --all"));
    }
    let planned = pool
        .netbe()
        .ok("upgrade -n --node rack1-* --node nog -- true");
    for node in ["nog/", "rack1-a/", "rack1-b/"] {
        assert!(planned.contains(node), "{planned}");
    }
    pool.netbe().fails(4, "upgrade -n --node rack9-* -- true");
    let templates = Pool::with_template();
    templates.netbe().fails(3, "list --all");
}

#[test]
fn an_unknown_name_or_pattern_is_reported_beside_the_others() {
    let pool = pool();
    for verb in [
        "list -H",
        "status",
        "get -H keep",
        "pin",
        "unpin",
        "set keep=3",
        "prune",
        "dedupe",
        "rollback -n",
        "upgrade -n --name next",
    ] {
        for (word, why) in [
            ("none", "no node none"),
            ("rack9-*", "no node matches rack9-*"),
        ] {
            let end = if verb.starts_with("upgrade") {
                " -- true"
            } else {
                ""
            };
            let alone = pool.netbe().run(&format!("{verb} {word}{end}"));
            assert_eq!(
                (alone.status, alone.stdout.as_str()),
                (4, ""),
                "{verb} {word}: {alone:#?}"
            );
            let beside = pool.netbe().run(&format!("{verb} {word} nog{end}"));
            assert_eq!(beside.status, 4, "{verb} {word} nog: {beside:#?}");
            for said in [&alone, &beside] {
                assert_eq!(
                    said.stderr.matches(why).count(),
                    1,
                    "{verb} {word}: {said:#?}"
                );
                assert!(
                    !said.stderr.contains("none: no node none"),
                    "{verb}: {said:#?}"
                );
            }
            if matches!(
                verb,
                "list -H" | "status" | "get -H keep" | "set keep=3" | "pin"
            ) {
                assert!(beside.stdout.contains("nog"), "{verb} {word}: {beside:#?}");
            }
        }
    }
    assert!(pool.flags("nog/a").contains('R'));
}
