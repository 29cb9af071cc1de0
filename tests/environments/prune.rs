//! `prune`: what goes, what stays and why, and what somebody sets.

use std::fs;
use std::path::Path;

use crate::support::{Pool, run};

/// Makes environments of `nog`, the oldest first, `days` old.
fn with(names: &[(&str, i64)]) -> Pool {
    let pool = Pool::with_node();
    set_age(&pool, "nog/a", 1000);
    for (name, days) in names {
        pool.propose(&format!("nog/{name}"));
        set_age(&pool, &format!("nog/{name}"), *days);
    }
    pool
}

/// Returns what would go, in words of the plan, without what comes back.
fn would(pool: &Pool, line: &str) -> String {
    let plan = pool.plans(line);
    let steps = plan.lines().filter(|step| !step.starts_with("would free "));
    steps.map(|step| format!("{step}\n")).collect()
}

/// Makes an environment as old as that.
fn set_age(pool: &Pool, environment: &str, days: i64) {
    let (node, env) = environment.split_once('/').unwrap();
    let file = format!("nodes/{node}/envs/{env}/env.json");
    let mut record: serde_json::Value = serde_json::from_str(&pool.read(&file)).unwrap();
    let created = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    record["created"] = created.to_string().into();
    pool.write(&file, &record.to_string());
}

#[test]
fn prune_destroys_the_oldest_beyond_keep() {
    let pool = with(&[("b", 6), ("c", 5), ("d", 4), ("e", 3), ("f", 2), ("g", 1)]);
    pool.netbe().ok("activate nog/g");
    pool.netbe().ok("activate nog/f");
    // Of seven five are left, where nobody says anything.
    assert_eq!(
        would(&pool, "prune"),
        "would destroy nog/a\nwould destroy nog/b\n"
    );
    assert!(pool.plans("prune").contains("\nwould free "));
    assert_eq!(pool.netbe().ok("prune"), "Destroyed nog/a, nog/b.\n");
    assert_eq!(pool.netbe().ok("prune nog"), "Nothing to prune.\n");
    assert_eq!(pool.plans("prune nog"), "");
    pool.netbe().ok("set keep=4");
    assert_eq!(pool.netbe().ok("prune nog nog"), "Destroyed nog/c.\n");
    pool.netbe().ok("set keep=all nog");
    assert_eq!(pool.netbe().ok("prune --keep 4"), "Nothing to prune.\n");
    assert_eq!(pool.netbe().ok("prune"), "Nothing to prune.\n");
    assert_eq!(pool.netbe().ok("prune --keep 3 -q"), "");
    assert_eq!(pool.names("nog"), ["e", "f", "g"]);
    // Fewer than what stays cannot be left.
    assert_eq!(pool.netbe().ok("prune --keep 0"), "Destroyed nog/e.\n");
    assert_eq!(pool.names("nog"), ["f", "g"]);
    assert_eq!(pool.subvolumes().len(), 6, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn protected_environments_count_towards_keep() {
    let pool = with(&[("b", 6), ("c", 5), ("d", 4), ("e", 3), ("f", 2)]);
    pool.netbe().ok("pin nog/b");
    // a is active, b pinned, f the newest: of three no room is left for c, d and e.
    let done = pool.netbe().run("prune -v --keep 3");
    assert_eq!(done.stdout, "Destroyed nog/c, nog/d, nog/e.\n", "{done:#?}");
    for why in [
        "note: nog/a stays: it is the active environment of nog\n",
        "note: nog/b stays: it is pinned\n",
    ] {
        assert!(done.stderr.contains(why), "{done:#?}");
    }
    assert_eq!(pool.names("nog"), ["a", "b", "f"]);
    let done = pool.netbe().run("prune -n --keep 1");
    assert!(
        done.stderr
            .contains("note: nog/f stays: netbe activate nog would activate it\n"),
        "{done:#?}"
    );
    assert_eq!((done.status, done.stdout.as_str()), (0, ""));
    // Without -v it is no news.
    assert_eq!(pool.netbe().run("prune --keep 1").stderr, "");
}

#[test]
fn rollback_goes_on_to_work() {
    let pool = with(&[("b", 6), ("c", 5), ("d", 4), ("e", 3)]);
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("activate nog/e");
    let done = pool.netbe().run("prune --keep 0 -v");
    assert_eq!(done.stdout, "Destroyed nog/a, nog/c, nog/d.\n");
    assert!(
        done.stderr
            .contains("nog/b stays: netbe rollback nog would activate it"),
        "{done:#?}"
    );
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "b");
    pool.netbe().ok("prune --keep 0");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "e");
}

#[test]
fn invariant_7_prune_keeps_environments_that_destroy_refuses() {
    let pool = Pool::with_served_node();
    set_age(&pool, "nog/a", 1000);
    for (name, days) in [("b", 9), ("c", 8), ("d", 7), ("e", 6), ("f", 5), ("g", 4)] {
        pool.propose(&format!("nog/{name}"));
        set_age(&pool, &format!("nog/{name}"), days);
    }
    // a is active and may be running, b is pending, c mounted, d somebody's working directory, e without its record.
    pool.netbe().ok("activate --once nog/b");
    let at = pool.beside().join("at");
    fs::create_dir(&at).unwrap();
    pool.netbe().ok(&format!("mount nog/c {}", at.display()));
    let mut sitting = std::process::Command::new("sleep")
        .arg("600")
        .current_dir(pool.half("nog/d", "root"))
        .spawn()
        .unwrap();
    pool.write("nodes/nog/envs/e/env.json", "{");
    fs::create_dir(pool.at("nodes/nog/envs/f/root/etc/deep")).unwrap();
    let done = pool.netbe().run("prune --keep 0 -v");
    sitting.kill().unwrap();
    sitting.wait().unwrap();
    assert_eq!(
        (done.status, done.stdout.as_str()),
        // Nobody said that e is to stay: it is told of as what could not go.
        (1, "Destroyed nog/f.\n")
    );
    for why in [
        "nog/a stays: nog may be running nog/a",
        "nog/b stays: it is to be booted once",
        "nog/c stays: it is in use: it is mounted at ",
        "nog/d stays: it is in use: process ",
        "error: nog/e stays: its age is not known, nor whether it is pinned: env.json",
        "\nhint: netbe check --repair\n",
        "nog/g stays: netbe activate nog would activate it",
    ] {
        assert!(done.stderr.contains(why), "{why}: {done:#?}");
    }
    assert_eq!(pool.names("nog"), ["a", "b", "c", "d", "e", "g"]);
    // What is before the node cannot be read: so any of them may be it.
    pool.write("nodes/nog/pending.json", "{");
    pool.refuses(
        3,
        "prune --keep 0",
        &[
            "the pending boot of nog cannot be read",
            "hint: netbe activate nog --cancel",
        ],
    );
    pool.netbe().ok("umount nog/c");
}

#[test]
fn older_than_destroys_only_older_environments() {
    let pool = with(&[("b", 40), ("c", 31), ("d", 29), ("e", 2), ("f", 1)]);
    let went = |line: &str| {
        would(&pool, line)
            .replace("would destroy nog/", "")
            .replace('\n', " ")
    };
    assert_eq!(went("prune --keep 2 --older-than 30d"), "b c ");
    assert_eq!(went("prune --keep 2 --older-than 5w"), "b ");
    assert_eq!(went("prune --keep 4 --older-than 1d"), "b c ");
    assert_eq!(went("prune --keep 2 --older-than 7000000d"), "");
    // Within what is kept, age is nothing.
    assert_eq!(went("prune --keep 6 --older-than 1s"), "");
    assert_eq!(went("prune --keep 2 --older-than 0s"), "b c d e ");
    let done = pool.netbe().run("prune -n --keep 2 --older-than 30d");
    assert!(
        done.stderr.contains("nog/d stays: it is not old enough"),
        "{done:#?}"
    );
    for wrong in ["30", "", "d", "-3d", "2months", "1y", "soon"] {
        let done = pool
            .netbe()
            .run_with(&["prune", "-n", &format!("--older-than={wrong}")]);
        assert_eq!(done.status, 2, "{wrong}: {done:#?}");
        assert!(done.stderr.contains("30d"), "{wrong}: {done:#?}");
    }
    assert_eq!(pool.netbe().run("prune -n --keep few").status, 2);
    assert_eq!(pool.netbe().run("prune -n --keep=-1").status, 2);
}

#[test]
fn templates_go_by_name_only() {
    let pool = Pool::with_node();
    for name in ["b", "c"] {
        pool.netbe().ok(&format!("create base/{name}"));
        pool.propose(&format!("nog/{name}"));
    }
    set_age(&pool, "base/b", 3);
    set_age(&pool, "nog/b", 3);
    assert_eq!(pool.netbe().ok("prune --keep 1"), "Destroyed nog/b.\n");
    assert_eq!(
        pool.netbe().ok("prune --keep 1 base"),
        "Destroyed base/b.\n"
    );
    assert_eq!(pool.names("base"), ["c", "stock"]);
    pool.assert_sound();
}

#[test]
fn a_refused_environment_does_not_stop_the_others() {
    let pool = with(&[("b", 6), ("c", 5), ("d", 4)]);
    for node in ["kira", "ordo"] {
        for name in ["x", "y", "z"] {
            pool.propose(&format!("{node}/{name}"));
        }
    }
    // Nothing deletes what is immutable; a node whose record is lost has no number to keep.
    let stuck = pool.at("nodes/nog/envs/b");
    run(std::process::Command::new("chattr").arg("+i").arg(&stuck));
    pool.write("nodes/kira/node.json", "");
    let done = pool.netbe().run("prune --keep 1");
    run(std::process::Command::new("chattr").arg("-i").arg(&stuck));
    assert_eq!(done.status, 3, "{done:#?}");
    assert_eq!(done.stdout, "Destroyed nog/c, ordo/y.\n");
    assert!(
        done.stderr.contains("error: destroying nog/b: "),
        "{done:#?}"
    );
    assert!(done.stderr.contains("error: kira: node.json"), "{done:#?}");
    assert!(done.stderr.contains(" --take-over\n"), "{done:#?}");
    pool.refuses(4, "prune nog werda", &["no node werda"]);
    assert!(!pool.at("locks/werda").exists());
    fs::remove_dir_all(pool.at("nodes/kira")).unwrap();
    assert_eq!(pool.netbe().ok("prune --keep 1"), "Destroyed nog/b.\n");
}

#[test]
fn a_node_that_is_being_changed_does_not_keep_the_others() {
    let pool = Pool::with_node();
    for node in ["nog", "ordo"] {
        for name in ["x", "y", "z"] {
            pool.propose(&format!("{node}/{name}"));
        }
    }
    let held = fs::File::open(pool.at("locks/nog")).unwrap();
    held.lock().unwrap();
    let done = pool.netbe().run("prune --keep 1 --wait 0");
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (5, "Destroyed ordo/y.\n")
    );
    assert!(
        done.stderr.contains("error: nog is being changed"),
        "{done:#?}"
    );
    assert!(done.stderr.contains("--wait SECONDS"), "{done:#?}");
    drop(held);
    assert_eq!(
        pool.netbe().ok("prune --keep 1"),
        "Destroyed nog/x, nog/y.\n"
    );
}

#[test]
fn how_many_are_kept_is_a_property() {
    let pool = Pool::with_node();
    let keep = |node: &str| pool.netbe().ok(&format!("get -H keep {node}"));
    assert_eq!(keep("nog"), "nog\tkeep\t5\tdefault\n");
    pool.netbe().ok("set keep=7");
    assert_eq!(keep("nog"), "nog\tkeep\t7\tpool\n");
    pool.netbe().ok("set keep=2 nog");
    assert_eq!(keep("nog"), "nog\tkeep\t2\tlocal\n");
    for wrong in ["many", "-1", "2.5"] {
        pool.refuses(
            2,
            &format!("set keep={wrong} nog"),
            &["neither a number nor all"],
        );
    }
    pool.netbe().ok("set keep= nog");
    assert_eq!(keep("nog"), "nog\tkeep\t7\tpool\n");
    // Written into the record by hand, what is no number keeps them all.
    let record = pool.read("pool.json").replace("\"7\"", "\"some\"");
    pool.write("pool.json", &record);
    for name in ["b", "c", "d", "e", "f", "g"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    assert_eq!(pool.netbe().ok("prune"), "Nothing to prune.\n");
}

#[test]
fn exports_follow() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("create nog/c -a");
    pool.saw_boot("nog", "c");
    pool.saw_boot("nog", "c");
    let gone = pool.netbe().ok("prune --keep 1");
    assert_eq!(gone, "Destroyed nog/a.\n");
    assert!(!pool.read("publish/exports").contains("/nog/envs/a/"));
    assert!(Path::new(&pool.half("nog/b", "root")).is_dir());
    pool.assert_sound();
}

#[test]
fn a_damaged_environment_stays_with_an_error() {
    let pool = with(&[("b", 6), ("c", 5), ("d", 4)]);
    // Not because what cannot be seen is what anybody wants gone.
    fs::rename(
        pool.half("nog/b", "boot"),
        pool.at("nodes/nog/envs/b/elsewhere"),
    )
    .unwrap();
    let done = pool.netbe().run("prune --keep 1");
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (1, "Destroyed nog/c.\n")
    );
    assert!(
        done.stderr
            .contains("error: nog/b stays: its boot half is missing"),
        "{done:#?}"
    );
    assert!(
        done.stderr.contains("hint: netbe destroy nog/b"),
        "{done:#?}"
    );
    // What failed is no damage.
    pool.netbe().run("upgrade nog --name e --keep -- false");
    set_age(&pool, "nog/e", 9);
    assert_eq!(pool.flags("nog/e"), "!");
    let done = pool.netbe().run("prune --keep 2");
    assert_eq!(done.stdout, "Destroyed nog/e.\n", "{done:#?}");
}

#[test]
fn invariant_7_the_newest_stays_however_it_was_made() {
    let pool = Pool::with_node();
    for name in ["b", "c"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    assert_eq!(pool.netbe().ok("prune --keep 1 nog"), "Destroyed nog/b.\n");
    assert_eq!(pool.names("nog"), ["a", "c"]);
}
