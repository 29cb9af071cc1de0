//! Files that a node wrote at the path of its data, before it mounted the data, are merged into the data.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use super::system;
use crate::machine::Machine;
use crate::support::{MAC, Pool};

/// A pool with the served node `nog`, which runs `a` and has written in /home; `b` beside it, and /home is data since.
fn with_data() -> Pool {
    let pool = Pool::new();
    pool.import("base/stock", &system());
    pool.netbe()
        .ok(&format!("create nog/a --mac {MAC} --ip dhcp,10.0.0.5"));
    pool.boots("nog/a", "1");
    for (name, text) in [("letter", "dear"), ("gone", "old"), ("both", "old")] {
        write(&pool, "nog/a", &format!("home/ada/{name}"), text);
    }
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("set data=/home nog");
    pool
}

fn data(pool: &Pool, name: &str) -> PathBuf {
    super::data(pool, "nog", "+home").join(name)
}

fn write(pool: &Pool, environment: &str, path: &str, text: &str) {
    let path = pool.half(environment, "root").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(pool: &Pool, environment: &str, path: &str) -> String {
    fs::read_to_string(pool.half(environment, "root").join(path)).unwrap()
}

fn text(pool: &Pool, name: &str) -> String {
    fs::read_to_string(data(pool, name)).unwrap_or_else(|_| "-".to_string())
}

/// Returns the names at the top of the data.
fn top(pool: &Pool) -> Vec<String> {
    let names = fs::read_dir(data(pool, "")).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Returns the number of files that status says are in the old place.
fn files_in_old_place(pool: &Pool) -> u64 {
    nix::unistd::sync();
    let status = pool.netbe().ok("status nog --json");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["nodes"][0]["old_places"][0]["files"]
        .as_u64()
        .unwrap_or_default()
}

/// The node goes on in the old place: a file that grows, a new one with an owner and a mode, one less.
fn goes_on(pool: &Pool) {
    write(pool, "nog/a", "home/ada/letter", "dear all");
    write(pool, "nog/a", "home/ada/deep/new", "new");
    let new = pool.half("nog/a", "root").join("home/ada/deep/new");
    chown(&new, Some(1000), Some(100)).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(pool.half("nog/a", "root").join("home/ada/gone")).unwrap();
}

#[test]
fn invariant_14_merge_takes_files_of_the_old_place_into_the_data() {
    let pool = with_data();
    goes_on(&pool);
    assert_eq!(files_in_old_place(&pool), 2);
    let plan = pool.plans("merge nog/a nog/a");
    for step in [
        "would take /home/ada/letter from nog/a into the data of nog\n",
        "would remove /home/ada/gone of the data of nog, as in nog/a\n",
    ] {
        assert!(plan.contains(step), "{plan}");
    }
    let output = pool.netbe().run("merge nog/a nog/a");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stdout.contains("went into the data of nog"),
        "{output:#?}"
    );
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert_eq!(text(&pool, "ada/letter"), "dear all");
    assert_eq!(text(&pool, "ada/deep/new"), "new");
    assert_eq!(text(&pool, "ada/gone"), "-");
    assert_eq!(text(&pool, "ada/both"), "old");
    let meta = data(&pool, "ada/deep/new").metadata().unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o7777),
        (1000, 100, 0o640)
    );
    assert_eq!(top(&pool), ["ada"]);
    assert_eq!(files_in_old_place(&pool), 0);
    pool.assert_sound();
    // Again, and what it writes after that: the data is still nobody's but netbe's.
    let again = pool.netbe().ok("merge nog/a nog/a");
    assert_eq!(again, "The data of nog has everything that nog/a has.\n");
    write(&pool, "nog/a", "home/ada/letter", "dear all, once more");
    assert_eq!(files_in_old_place(&pool), 1);
    pool.netbe().ok("merge nog/a nog/a");
    assert_eq!(text(&pool, "ada/letter"), "dear all, once more");
    assert_eq!(files_in_old_place(&pool), 0);
    // What is removed in the data then comes back by nothing.
    fs::remove_file(data(&pool, "ada/letter")).unwrap();
    assert_eq!(files_in_old_place(&pool), 0);
    pool.netbe().ok("merge nog/a nog/a");
    assert_eq!(text(&pool, "ada/letter"), "-");
}

#[test]
fn a_conflict_keeps_the_data_and_puts_the_old_places_file_beside_it() {
    let pool = with_data();
    goes_on(&pool);
    write(&pool, "nog/a", "home/ada/both", "of the old place");
    // Booted since, it works with its data.
    fs::write(data(&pool, "ada/both"), "of the data").unwrap();
    fs::write(data(&pool, "ada/gone"), "still wanted").unwrap();
    fs::write(data(&pool, "own"), "own").unwrap();
    let output = pool.netbe().run("merge nog/a nog/a");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(output.stdout.contains("C /home/ada/both"), "{output:#?}");
    assert_eq!(text(&pool, "ada/both"), "of the data");
    assert_eq!(text(&pool, "ada/both.netbe-a"), "of the old place");
    assert_eq!(text(&pool, "ada/gone"), "still wanted");
    assert_eq!(text(&pool, "own"), "own");
    assert_eq!(text(&pool, "ada/letter"), "dear all");
    assert_eq!(files_in_old_place(&pool), 0);
    pool.assert_sound();
    // Still so when more is merged: the node had written in the data before.
    write(&pool, "nog/a", "home/ada/both", "of the old place, later");
    assert_eq!(pool.netbe().run("merge nog/a nog/a").status, 1);
    assert_eq!(text(&pool, "ada/both"), "of the data");
    assert_eq!(text(&pool, "ada/both.netbe-a"), "of the old place, later");
}

#[test]
fn each_side_can_be_asked_for_and_a_part_alone() {
    for (side, want) in [("--ours", "of the data"), ("--theirs", "of the old place")] {
        let pool = with_data();
        write(&pool, "nog/a", "home/ada/both", "of the old place");
        write(&pool, "nog/a", "home/ada/other", "other");
        fs::write(data(&pool, "ada/both"), "of the data").unwrap();
        pool.netbe()
            .ok(&format!("merge nog/a nog/a /home/ada/both {side}"));
        assert_eq!(text(&pool, "ada/both"), want);
        assert_eq!(text(&pool, "ada/both.netbe-a"), "-");
        assert_eq!(text(&pool, "ada/other"), "-");
        // The rest is still told.
        assert!(files_in_old_place(&pool) > 0);
        pool.netbe().run("merge nog/a nog/a --theirs");
        assert_eq!(text(&pool, "ada/other"), "other");
    }
}

#[test]
fn a_merge_into_another_environment_brings_both() {
    let pool = with_data();
    goes_on(&pool);
    write(&pool, "nog/a", "var/lib/app/log", "lines");
    pool.netbe().ok("merge nog/a nog/b --name c");
    assert_eq!(text(&pool, "ada/letter"), "dear all");
    assert_eq!(read(&pool, "nog/c", "var/lib/app/log"), "lines");
    // Under the data every environment has what it had.
    assert_eq!(read(&pool, "nog/c", "home/ada/letter"), "dear");
    assert_eq!(files_in_old_place(&pool), 0);
    pool.assert_sound();
}

#[test]
fn activate_merge_brings_it_before_the_reboot() {
    let pool = with_data();
    goes_on(&pool);
    let plan = pool.plans("activate nog/b --merge");
    assert!(plan.contains("into the data of nog"), "{plan}");
    pool.netbe().ok("activate nog/b --merge");
    assert_eq!(pool.active("nog"), "b");
    assert_eq!(text(&pool, "ada/letter"), "dear all");
    assert_eq!(text(&pool, "ada/gone"), "-");
    assert_eq!(files_in_old_place(&pool), 0);
    pool.assert_sound();
}

#[test]
fn files_that_an_environment_never_had_stay_in_the_data() {
    let pool = Pool::new();
    pool.import("base/stock", &system());
    pool.netbe()
        .ok(&format!("create nog/a --mac {MAC} --ip dhcp,10.0.0.5"));
    pool.netbe().ok("create nog/b -a");
    pool.boots("nog/b", "1");
    write(&pool, "nog/b", "home/own", "of b");
    fs::create_dir_all(pool.half("nog/a", "root").join("home")).unwrap();
    // It runs b, and the data is taken from it; a wrote nothing that counts.
    pool.netbe().ok("set data=/home nog");
    write(&pool, "nog/a", "home/late", "of a");
    let output = pool.netbe().run("merge nog/a nog/a");
    assert_eq!(output.status, 0, "{output:#?}");
    assert_eq!(text(&pool, "own"), "of b");
    assert_eq!(text(&pool, "late"), "of a");
}

#[test]
fn an_environment_without_an_old_place_is_not_merged_with_itself() {
    let pool = Pool::with_served_node();
    pool.refuses(2, "merge nog/a nog/a", &["nog/a twice"]);
    // One that was made later mounts the data from its first boot on.
    let pool = with_data();
    goes_on(&pool);
    pool.netbe().ok("create nog/c");
    pool.refuses(2, "merge nog/c nog/c", &["nog/c twice"]);
}

#[test]
fn leftovers_of_an_interrupted_merge_in_the_data_are_found() {
    let pool = with_data();
    fs::create_dir(data(&pool, ".netbe-merge-0")).unwrap();
    fs::write(data(&pool, ".netbe-merge-0/letter"), "half").unwrap();
    let found = pool.netbe().run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    assert!(found.stdout.contains(".netbe-merge-0"), "{found:#?}");
    pool.netbe().ok("check --repair");
    assert_eq!(top(&pool), ["ada"]);
    pool.assert_sound();
}
