//! `activate --merge`: nothing that was written before it began is missing in what is booted next.

use crate::support::Pool;
use crate::{read, write};

#[test]
fn invariant_14_what_would_be_left_behind_is_in_what_is_activated() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", "var/lib/app/log", "lines");
    let plan = pool.plans("activate nog/b --merge");
    assert!(plan.contains("take /var/lib/app/log from nog/a"), "{plan}");
    let done = pool.netbe().run("activate nog/b --merge");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    let active = pool.active("nog");
    assert_ne!(active, "b");
    assert_eq!(
        read(&pool, &format!("nog/{active}"), "var/lib/app/log"),
        "lines"
    );
    assert!(!done.stderr.contains("wrote"), "{}", done.stderr);
    pool.assert_sound();
}

#[test]
fn without_anything_to_merge_it_activates() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate nog/b --merge");
    assert_eq!(pool.active("nog"), "b");
    assert_eq!(pool.names("nog"), ["a", "b"]);
}

#[test]
fn with_a_conflict_it_merges_and_activates_nothing() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "srv/both", "old");
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", "srv/both", "of a");
    write(&pool, "nog/b", "srv/both", "of b");
    let done = pool.netbe().run("activate nog/b --merge");
    assert_eq!(done.status, 1, "{}{}", done.stdout, done.stderr);
    assert_eq!(pool.active("nog"), "a");
    assert_eq!(pool.names("nog").len(), 3);
    assert!(done.stdout.contains("C /srv/both"), "{}", done.stdout);
}
