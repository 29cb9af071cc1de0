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
        let output = netbe.run_with(&["describe", "nog/a", text]);
        assert_eq!(
            (output.status, output.stdout.as_str()),
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
fn descriptions_and_pins_that_cannot_be_recorded_are_refused() {
    let pool = Pool::with_node();
    for line in ["pin nog/zz", "unpin nog/zz", "describe nog/zz x"] {
        pool.refuses(4, line, &["no environment nog/zz", "hint: "]);
    }
    for line in ["pin ordo/a", "describe ordo x"] {
        pool.refuses(4, line, &["no node ordo"]);
    }
    for text in ["two\nlines", "\u{1b}[31m", "nul\u{7f}"] {
        let output = pool.netbe().run_with(&["describe", "nog/a", text]);
        assert_eq!(output.status, 2, "{output:#?}");
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
fn a_missing_environment_leaves_the_pins_before_it_sound() {
    let pool = Pool::with_node();
    let output = pool.netbe().run("pin nog/a nog/zz");
    assert_eq!(output.status, 4, "{output:#?}");
    // All or what was possible, but never a half-written record.
    pool.assert_sound();
}
