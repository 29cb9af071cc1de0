//! `describe`, `pin`, `unpin`.

use std::fs;

use crate::support::Pool;

#[test]
fn a_description_is_set_changed_and_taken_away() {
    let pool = Pool::with_served_node();
    let netbe = pool.netbe();
    let description = || {
        let row = netbe.ok("list -H nog/a");
        row.trim_end().split('\t').nth(8).unwrap().to_string()
    };
    for (text, want) in [
        ("as delivered", "as delivered"),
        ("ä “b”", "ä “b”"),
        ("", "-"),
    ] {
        let said = netbe.run_with(&["describe", "nog/a", text]);
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (0, "Described nog/a.\n")
        );
        assert_eq!(description(), want);
    }
    // It may be running: nothing of its halves changes.
    assert_eq!(netbe.ok("describe nog x"), "Described nog/a.\n");
    assert_eq!(description(), "x");
}

#[test]
fn pinning_shows_and_both_ways_can_be_repeated() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    assert_eq!(
        pool.netbe().ok("pin nog/a nog/b"),
        "Pinned nog/a.\nPinned nog/b.\n"
    );
    pool.netbe().ok("pin nog/a");
    assert_eq!(
        (pool.flags("nog/a").as_str(), pool.flags("nog/b").as_str()),
        ("RP", "P")
    );
    assert_eq!(pool.netbe().ok("unpin nog/b"), "Unpinned nog/b.\n");
    pool.netbe().ok("unpin nog/b");
    assert_eq!(pool.flags("nog/b"), "-");
    // A copy is not pinned because its origin is.
    pool.netbe().ok("create nog/c");
    assert_eq!(pool.flags("nog/c"), "-");
}

#[test]
fn what_cannot_be_noted_is_refused() {
    let pool = Pool::with_node();
    for line in ["pin nog/zz", "unpin nog/zz", "describe nog/zz x"] {
        pool.refuses(4, line, &["no environment nog/zz", "hint: "]);
    }
    for line in ["pin ordo/a", "describe ordo x"] {
        pool.refuses(4, line, &["no node ordo"]);
    }
    for text in ["two\nlines", "\u{1b}[31m", "nul\u{7f}"] {
        let said = pool.netbe().run_with(&["describe", "nog/a", text]);
        assert_eq!(said.status, 2, "{said:#?}");
    }
    assert_eq!(pool.netbe().run("pin").status, 2);
    fs::remove_file(pool.at("nodes/nog/envs/a/env.json")).unwrap();
    for line in ["pin nog/a", "describe nog/a x"] {
        pool.refuses(1, line, &["nog/a: env.json", "hint: netbe check --repair"]);
    }
}

#[test]
fn dry_runs_change_nothing() {
    let pool = Pool::with_node();
    assert_eq!(pool.plans("pin nog/a"), "would pin nog/a\n");
    assert_eq!(pool.plans("unpin nog/a"), "would unpin nog/a\n");
    assert_eq!(pool.plans("describe nog/a x"), "would describe nog/a\n");
}

#[test]
fn one_that_does_not_exist_keeps_none_from_being_pinned_before_it() {
    let pool = Pool::with_node();
    let said = pool.netbe().run("pin nog/a nog/zz");
    assert_eq!(said.status, 4, "{said:#?}");
    // All or what was possible, but never a half-written record.
    pool.assert_sound();
}
