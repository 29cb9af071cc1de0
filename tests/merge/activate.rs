//! `activate --merge`: nothing that was written before it began is missing in what is booted next.

use crate::support::Pool;
use crate::{read, write};

#[test]
fn invariant_14_activate_merge_takes_left_behind_files_along() {
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
fn with_a_conflict_activate_merge_does_not_activate() {
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

#[test]
fn the_longest_name_has_room_beside_it_and_many_files_are_counted_by_place() {
    let pool = Pool::with_served_node();
    let long = format!("srv/{}", "x".repeat(255));
    write(&pool, "nog/a", &long, "old");
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", &long, "of a");
    write(&pool, "nog/b", &long, "of b");
    for number in 0..41 {
        write(&pool, "nog/a", &format!("srv/many/{number}"), "x");
    }
    let plan = pool.plans("merge nog/a nog/b --name c");
    assert!(
        plan.contains("take 41 files in /srv/many from nog/a"),
        "{plan}"
    );
    assert_eq!(pool.netbe().run("merge nog/a nog/b --name c").status, 1);
    let beside = format!("srv/{}.netbe-a", "x".repeat(247));
    assert_eq!(read(&pool, "nog/c", &beside), "of a");
    assert_eq!(read(&pool, "nog/c", &long), "of b");
}
