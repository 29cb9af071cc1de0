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
fn of_several_that_are_made_quietly_only_failures_are_told() {
    let pool = Pool::with_template();
    pool.netbe().ok("create nog/a --mac 02:00:00:00:77:01");
    pool.netbe().ok("create ordo/a --mac 02:00:00:00:77:02");
    let said = pool.netbe().run("-q create nog/b ordo/b");
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
    let said = pool.netbe().run("-q create nog/b ordo/c");
    assert_eq!(said.stdout, "");
    assert!(said.stderr.starts_with("error: "), "{said:#?}");
}

#[test]
fn a_problem_of_an_environment_is_told_under_its_name_alone() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    std::fs::remove_file(pool.half("nog/b", "").join("env.json")).unwrap();
    let said = pool.netbe().run("status nog").stderr;
    assert!(said.starts_with("warning: nog/b: env.json "), "{said}");
}

#[test]
fn what_was_probably_meant_is_named() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/before-the-upgrade");
    pool.refuses(4, "list nogg", &["no node nogg in ", "; did you mean nog?"]);
    pool.refuses(
        4,
        "activate nog/before-upgrade",
        &["; did you mean nog/before-the-upgrade?"],
    );
    pool.refuses(
        2,
        "get keeep",
        &["no property \"keeep\"; did you mean keep?"],
    );
}
