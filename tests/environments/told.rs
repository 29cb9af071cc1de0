//! What messages tell a person to type: for the right pool, and by the right name.

use crate::support::Pool;

#[test]
fn commands_that_are_told_are_for_the_pool_that_was_named() {
    let pool = Pool::with_node();
    let place = pool.path().display().to_string();
    let said = |words: &[&str]| {
        let mut command = pool.netbe().plain();
        let output = command
            .env_remove("NETBE_POOL")
            .args(["--pool", &place])
            .args(words)
            .output();
        let output = output.unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert!(said(&["list", "ordo"]).contains(&format!("hint: netbe --pool {place} list\n")));
    std::fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    let remedy = format!("  remedy: netbe --pool {place} check --repair\n");
    assert!(said(&["check"]).contains(&remedy), "{}", said(&["check"]));
}

#[test]
fn what_was_probably_meant_is_named() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/before-the-upgrade");
    pool.refuses(4, "list nogg", &["no node nogg in ", "; did you mean nog?"]);
    pool.refuses(
        4,
        "activate nog/before-upgrade",
        &["; did you mean before-the-upgrade?"],
    );
    pool.refuses(
        2,
        "get keeep",
        &["no property \"keeep\"; did you mean keep?"],
    );
}
