//! Merging once more brings what was written since, and nothing a second time.

use std::fs;

use crate::support::Pool;
use crate::{at, read, write};

#[test]
fn a_second_merge_takes_changes_since_the_first() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "srv/removed-later", "old");
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/b", "srv/of-b", "of b");
    write(&pool, "nog/a", "srv/first", "1");
    write(&pool, "nog/a", "srv/changed", "1");
    write(&pool, "nog/a", "srv/gone", "1");
    pool.netbe().ok("merge nog/a nog/b --name m");
    // The node writes on; the result is booted and written to, as well.
    write(&pool, "nog/a", "srv/changed", "2");
    write(&pool, "nog/a", "srv/second", "2");
    fs::remove_file(at(&pool, "nog/a", "srv/gone")).unwrap();
    fs::remove_file(at(&pool, "nog/a", "srv/removed-later")).unwrap();
    write(&pool, "nog/m", "srv/first", "changed by m");
    let done = pool.netbe().run("activate nog/m");
    assert!(
        done.stderr.contains(
            "nog wrote 4 files (2 B) in nog/a since it was merged, and nog/m does not have them"
        ),
        "{}",
        done.stderr
    );
    let done = pool.netbe().run("merge nog/a nog/m --name n");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    for (path, want) in [
        ("srv/first", "changed by m"),
        ("srv/changed", "2"),
        ("srv/second", "2"),
        ("srv/gone", "-"),
        ("srv/removed-later", "-"),
        // Never in nog/a, and not removed there either.
        ("srv/of-b", "of b"),
    ] {
        assert_eq!(read(&pool, "nog/n", path), want, "{path}");
    }
    // Of a copy of the result, too.
    pool.netbe().ok("clone nog/n nog/o");
    let done = pool.netbe().run("merge nog/a nog/o --name p");
    assert!(
        done.stdout.contains("has everything") || done.stderr.contains("has everything"),
        "{}{}",
        done.stdout,
        done.stderr
    );
}

#[test]
fn a_conflict_is_reported_once() {
    let pool = Pool::with_served_node();
    write(&pool, "nog/a", "srv/both", "old");
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/a", "srv/both", "of a");
    write(&pool, "nog/b", "srv/both", "of b");
    assert_eq!(pool.netbe().run("merge nog/a nog/b --name m").status, 1);
    let done = pool.netbe().run("activate nog/m");
    assert!(!done.stderr.contains("wrote"), "{}", done.stderr);
}

#[test]
fn files_of_an_upgrade_are_not_merged_into_its_origin() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    write(&pool, "nog/b", "opt/tool", "of the upgrade");
    pool.netbe().ok("activate nog/b");
    write(&pool, "nog/b", "srv/data", "of the node");
    pool.netbe().ok("merge nog/b nog/a --name m");
    assert_eq!(read(&pool, "nog/m", "srv/data"), "of the node");
    assert_eq!(read(&pool, "nog/m", "opt/tool"), "-");
}

#[test]
fn between_two_imports_the_template_is_the_common_origin() {
    let pool = Pool::with_node();
    write(&pool, "nog/a", "srv/own", "of the node");
    write(&pool, "nog/a", "etc/app.conf", "of the node");
    let template = pool.netbe().ok("list -H");
    let template = template
        .lines()
        .next()
        .unwrap()
        .split('\t')
        .take(2)
        .collect::<Vec<_>>()
        .join("/");
    pool.import(
        "newer/base",
        &crate::support::System::debian()
            .file("etc/app.conf", "newer")
            .file("etc/new", "newer"),
    );
    pool.netbe().ok("create nog/b --from newer/base");
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 1, "{template}: {}{}", done.stdout, done.stderr);
    assert_eq!(read(&pool, "nog/m", "srv/own"), "of the node");
    assert_eq!(read(&pool, "nog/m", "etc/new"), "newer");
    assert_eq!(read(&pool, "nog/m", "etc/app.conf"), "newer");
    assert_eq!(read(&pool, "nog/m", "etc/app.conf.netbe-a"), "of the node");
}

#[test]
fn a_destroyed_template_is_kept_until_no_node_needs_it() {
    let pool = Pool::with_node();
    let base = pool.names("base").remove(0);
    write(&pool, "nog/a", "srv/own", "of the node");
    pool.import(
        "newer/base",
        &crate::support::System::debian().file("etc/new", "newer"),
    );
    pool.netbe().ok("create nog/b --from newer/base");
    let uuid = pool.subvolume_uuid(&format!("nodes/base/envs/{base}/root"));
    let done = pool.netbe().run("destroy -y -r base");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains(
            "kept hidden as the common origin for merges, until no node has a system made from it"
        ),
        "{}",
        done.stderr
    );
    assert!(!pool.netbe().ok("list -H").contains("base\t{base}"));
    assert!(pool.at(&format!(".kept/{uuid}/root")).exists());
    let space = pool.netbe().run("list --space");
    assert!(
        space.stderr.contains(&format!("base/{base}")),
        "{}",
        space.stderr
    );
    pool.netbe().ok("merge nog/a nog/b --name m");
    assert_eq!(read(&pool, "nog/m", "srv/own"), "of the node");
    assert_eq!(read(&pool, "nog/m", "etc/new"), "newer");
    pool.assert_sound();
    // The merged one and that of the newer template do not come from it.
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("destroy -y nog/a");
    assert!(!pool.at(&format!(".kept/{uuid}")).exists());
    pool.assert_sound();
}

#[test]
fn destroyed_environments_between_two_others_do_not_matter() {
    let pool = Pool::with_node();
    write(&pool, "nog/a", "srv/own", "of the node");
    for (from, to) in [("a", "b"), ("b", "c")] {
        pool.netbe()
            .ok(&format!("create nog/{to} --from nog/{from}"));
        pool.netbe().ok(&format!("activate nog/{to}"));
        pool.netbe().ok(&format!("destroy -y nog/{from}"));
    }
    pool.netbe().ok("create nog/new --from base");
    write(&pool, "nog/new", "etc/new", "newer");
    let done = pool.netbe().run("merge nog/c nog/new --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(read(&pool, "nog/m", "srv/own"), "of the node");
    assert_eq!(read(&pool, "nog/m", "etc/new"), "newer");
}
