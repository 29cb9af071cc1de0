//! A server's clock that was wrong for a while: what is newest, and what was active before, goes by the order in which
//! it came, not by the clock.

use super::support::Pool;

fn set(pool: &Pool, environment: &str, field: &str, time: &str) {
    pool.change_record(environment, |record| record[field] = time.into());
}

#[test]
fn invariant_7_the_last_made_environment_is_the_newest_although_the_clock_was_behind() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.propose("nog/c");
    set(&pool, "nog/c", "created", "2019-02-14T10:00:00Z");
    assert!(pool.plans("activate nog").contains("nog/c"));
    let list = pool.netbe().ok("list -H -s created nog");
    let names: Vec<&str> = list.lines().filter_map(|l| l.split('\t').nth(1)).collect();
    assert_eq!(
        names,
        ["a", "b", "c"],
        "by the order in which they were made"
    );
    let plan = pool.netbe().run("prune -n --keep 2 nog");
    assert!(!plan.stdout.contains("nog/c"), "{plan:#?}");
    pool.propose("nog/d");
    pool.netbe().ok("rename nog/c z");
    // The newest of them stays by itself; this one because nobody knows its age.
    let plan = pool.netbe().run("prune -n --keep 1 --older-than 30d nog");
    assert!(!plan.stdout.contains("nog/z"), "{plan:#?}");
    assert!(
        plan.stderr
            .contains("nog/z stays: its age is not known, as it was made after nog/b"),
        "{plan:#?}"
    );
}

#[test]
fn invariant_7_the_previously_active_environment_is_known_although_the_clock_was_set_back() {
    let pool = Pool::with_node();
    for name in ["b", "c"] {
        pool.netbe().ok(&format!("create nog/{name} -a"));
    }
    set(&pool, "nog/a", "left", "2031-01-01T00:00:00Z");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "b");
    // Under another name too, and where the one that was active in between is gone.
    pool.netbe().ok("rename nog/c z");
    set(&pool, "nog/z", "left", "2001-01-01T00:00:00Z");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "z");
}

#[test]
fn a_clock_behind_the_newest_record_warns() {
    let pool = Pool::with_node();
    set(&pool, "nog/a", "created", "2999-01-01T00:00:00Z");
    let made = pool.netbe().run("create nog/b");
    assert_eq!(made.status, 0, "{made:#?}");
    assert!(
        made.stderr.contains("the clock of this server says")
            && made.stderr.contains("2999-01-01T00:00:00Z"),
        "{made:#?}"
    );
    pool.change_record("nog/b", |record| record["proposed"] = true.into());
    assert!(pool.plans("activate nog").contains("nog/b"));
}
