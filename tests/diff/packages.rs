//! `diff`: what packages differ, by the databases or by what an upgrade reported.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{Fingerprint, Pool, System};

const STATUS: &str = "var/lib/dpkg/status";

/// Rewrites the list of packages of an environment.
fn edit(pool: &Pool, environment: &str, change: impl Fn(&str) -> String) {
    let path = pool.half(environment, "root").join(STATUS);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(&text)).unwrap();
}

/// An upgraded base system, a package gone, and one that is new.
fn upgraded(status: &str) -> String {
    let without: Vec<&str> = status
        .split("\n\n")
        .filter(|stanza| !stanza.contains("Package: busybox-static\n"))
        .collect();
    without
        .join("\n\n")
        .replace("12.4+deb12u12", "12.4+deb12u13")
        + "Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.10-3\n\n"
}

/// Makes a pool with nog/a, and nog/b that was made from it and has other packages.
fn pool() -> Pool {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    edit(&pool, "nog/b", upgraded);
    pool
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn packages_that_differ_are_a_table() {
    let pool = pool();
    let netbe = pool.netbe();
    let before = Fingerprint::of(pool.path());
    let there = [
        ["PACKAGE", "BEFORE", "AFTER"],
        ["base-files", "12.4+deb12u12", "12.4+deb12u13"],
        ["hello", "-", "2.10-3"],
        ["busybox-static", "1:1.35.0-4", "-"],
    ];
    for line in [
        "diff nog/b --packages",
        "diff --packages nog/b",
        "diff nog/a nog/b --packages",
        // A node alone is what is active in it.
        "diff nog nog/b --packages",
    ] {
        assert_eq!(rows(&netbe.ok(line)), there, "{line}");
    }
    let back = netbe.ok("diff --packages nog/b nog/a");
    assert_eq!(
        rows(&back)[1..],
        [
            ["base-files", "12.4+deb12u13", "12.4+deb12u12"],
            ["busybox-static", "-", "1:1.35.0-4"],
            ["hello", "2.10-3", "-"],
        ],
        "{back}"
    );
    assert_eq!(
        netbe.ok("diff --packages nog/b nog/b"),
        "No package differs from nog/b to nog/b.\n"
    );
    // Not even a lock was taken.
    before.assert_unchanged(&Fingerprint::of(pool.path()));
}

#[test]
fn scripts_get_a_document() {
    let pool = pool();
    let document: Value = serde_json::from_str(&pool.netbe().ok("diff --json nog/b")).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["from"]["name"], "a");
    assert_eq!(document["to"]["name"], "b");
    assert_eq!(document["known_by"], "databases");
    assert_eq!(
        document["packages"],
        json!({
            "added": [{"name": "hello", "version": "2.10-3"}],
            "removed": [{"name": "busybox-static", "version": "1:1.35.0-4"}],
            "upgraded": [{"name": "base-files", "before": "12.4+deb12u12", "after": "12.4+deb12u13"}],
            "downgraded": [],
        })
    );
}

#[test]
fn an_origin_is_known_by_its_identity() {
    let pool = pool();
    let netbe = pool.netbe();
    netbe.ok("activate nog/b");
    netbe.ok("rename nog/a old");
    assert_eq!(rows(&netbe.ok("diff --packages nog/b")).len(), 4);
    // Another one of the name it had is not it.
    netbe.ok("create nog/a");
    assert_eq!(rows(&netbe.ok("diff --packages nog/b")).len(), 4);
    netbe.ok("destroy --yes nog/old");
    let output = netbe.fails(4, "diff nog/b");
    for text in [
        "nog/a, the origin of nog/b, does not exist any more",
        "hint: netbe list nog",
    ] {
        assert!(output.contains(text), "{output}");
    }
    let output = netbe.fails(4, "diff base/stock");
    assert!(output.contains("has no origin"), "{output}");
    netbe.fails(4, "diff nog/none");
    netbe.fails(4, "diff nog/a nog/none");
    netbe.fails(2, "diff");
}

#[test]
fn without_the_origin_the_changes_come_from_the_upgrades_record() {
    let pool = Pool::with_node();
    let netbe = pool.netbe();
    let script = format!("sed -i s/12.4+deb12u12/12.4+deb12u13/ /{STATUS}");
    let outcome = netbe.run_with(&[
        "upgrade", "nog/a", "--name", "b", "-a", "--", "sh", "-c", &script,
    ]);
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    let table = netbe.ok("diff --packages nog/b");
    assert_eq!(table, outcome.stdout[..table.len()], "{outcome:#?}");
    netbe.ok("destroy --yes nog/a");
    let outcome = netbe.run("diff --packages nog/b");
    assert_eq!((outcome.status, outcome.stdout), (0, table));
    let note = "note: nog/a is destroyed; these are the changes that the upgrade to nog/b recorded";
    assert!(outcome.stderr.contains(note), "{}", outcome.stderr);
    let document: Value = serde_json::from_str(&netbe.ok("diff --json nog/b")).unwrap();
    assert_eq!(document["known_by"], "report");
    assert_eq!(document["from"]["name"], "a");
}

#[test]
fn an_unreadable_package_database_is_an_error_in_one_sentence() {
    let pool = pool();
    let netbe = pool.netbe();
    let status = pool.half("nog/b", "root").join(STATUS);
    fs::remove_file(&status).unwrap();
    // What stands there on the server itself is not looked at.
    symlink("/var/lib/dpkg/status", &status).unwrap();
    let output = netbe.fails(1, "diff nog/b");
    assert!(
        output.contains("error: reading the packages of nog/b: "),
        "{output}"
    );
    fs::remove_file(&status).unwrap();
    let output = netbe.fails(1, "diff nog/b");
    assert!(
        output.contains("no package database that netbe knows"),
        "{output}"
    );
    let root = pool.half("nog/b", "root");
    fs::write(root.join("usr/lib/os-release"), "ID=fedora\n").unwrap();
    let rpm = root.join("var/lib/rpm");
    fs::create_dir_all(&rpm).unwrap();
    fs::write(rpm.join("rpmdb.sqlite"), "garbage").unwrap();
    let output = netbe.fails(1, "diff nog/b");
    assert!(
        output.contains("/var/lib/rpm/rpmdb.sqlite cannot be read: "),
        "{output}"
    );
    netbe.ok("list");
}

/// An Alpine, as far as its package list goes; recorded, for there is no apk here.
#[test]
fn an_alpine_is_compared_by_its_own_list_and_order() {
    let list = |busybox: &str| {
        format!(
            "C:Q1Ci6W8aMSNTu0ZHVGEUSvZvM5NDs=\nP:busybox\nV:{busybox}\nA:x86_64\n\nP:musl\nV:1.2.5-r1\n\n"
        )
    };
    let system = System::debian()
        .without(STATUS)
        .file(
            "usr/lib/os-release",
            "ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.20\"\n",
        )
        // `/lib` leads there.
        .file("usr/lib/apk/db/installed", &list("1.36.1_rc1-r15"));
    let pool = Pool::with_template_of(&system);
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("create nog/b");
    let database = pool.half("nog/b", "root").join("lib/apk/db/installed");
    fs::write(database, list("1.36.1-r2")).unwrap();
    assert_eq!(
        rows(&pool.netbe().ok("diff --packages nog/b"))[1..],
        [["busybox", "1.36.1_rc1-r15", "1.36.1-r2"]]
    );
}
