//! The hint of a refusal is a command that works when pasted.

use std::fs;

use crate::support::{Pool, refusal};

/// Runs what the hint of a refused command says; returns it.
fn paste(pool: &Pool, line: &str) -> String {
    let said = pool.netbe().run(line);
    assert_ne!(said.status, 0, "{line}: {said:#?}");
    let hint = said.stderr.lines().find_map(|l| l.strip_prefix("hint: "));
    let hint = hint.unwrap_or_else(|| panic!("{line} has no hint: {said:#?}"));
    let command = hint.strip_prefix("netbe ");
    pool.netbe()
        .ok(command.unwrap_or_else(|| panic!("{line} has no command for a hint: {hint}")));
    hint.to_string()
}

#[test]
fn what_is_refused_is_followed_by_a_command_that_works() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate nog/b");
    for line in [
        "destroy nog -y",
        "destroy nog/a -y",
        "destroy /srv -y",
        "destroy --data nog -y",
        "confirm nog",
        "activate --try base/stock",
        "diff base/stock",
        "list nog/none",
        "set quiet",
        "set mac=dc:a6:32:01:02:09 base",
    ] {
        paste(&pool, line);
    }
    assert_eq!(
        (pool.names("nog"), pool.active("nog")),
        (vec!["a".to_string(), "b".to_string()], "b".to_string())
    );
}

#[test]
fn the_only_environment_that_can_be_meant_is_named() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    assert_eq!(paste(&pool, "create nog/c"), "netbe list nog");
    pool.netbe().ok("destroy nog/b -y");
    assert_eq!(paste(&pool, "create nog/c"), "netbe activate nog/a");
    pool.netbe().ok("create nog/b");
    assert_eq!(paste(&pool, "destroy nog/a -y"), "netbe activate nog/b");
    pool.refuses(refusal("confirm nog"), "confirm nog", &["no pending boot"]);
}
