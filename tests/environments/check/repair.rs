//! `check` and `check --repair`: what is found, what is mended, what is left.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Pool, TFTP_NAME};

/// Runs `check --repair`, which must mend everything, and shows that a second look finds nothing.
fn mends(pool: &Pool, words: &[&str]) {
    let found = pool.netbe().run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    for word in words {
        assert!(found.stdout.contains(word), "{word}: {found:#?}");
    }
    assert!(
        found.stdout.contains("remedy: netbe check --repair"),
        "{found:#?}"
    );
    let planned = pool.netbe().run("check --repair -n");
    assert!(planned.stdout.contains("would "), "{planned:#?}");
    let again = pool.netbe().run("check");
    assert_eq!(again, found, "the dry run changed something");
    let mended = pool.netbe().run("check --repair");
    assert_eq!(mended.status, 0, "{mended:#?}");
    assert!(mended.stdout.contains("Repaired: "), "{mended:#?}");
    pool.assert_sound();
    let nothing = pool.fingerprint();
    assert_eq!(pool.netbe().ok("check --repair"), "Everything is sound.\n");
    nothing.assert_unchanged(&pool.fingerprint());
}

/// Makes what a killed command leaves: a hidden directory with subvolumes in it.
fn leave(pool: &Pool, path: &str) {
    fs::create_dir_all(pool.at(path)).unwrap();
    pool.subvolume(&format!("{path}/root"));
    pool.subvolume(&format!("{path}/boot"));
    fs::write(pool.at(&format!("{path}/root/file")), "x").unwrap();
}

#[test]
fn hidden_directories_of_users_are_reported_and_stay() {
    let pool = Pool::with_served_node();
    let hidden = [".trash-mine/x", ".staged-mine/x", ".trash-old-20261128/x"];
    for path in hidden {
        let path = format!("nodes/nog/{path}");
        fs::create_dir(pool.at(&path).parent().unwrap()).unwrap();
        pool.write(&path, "mine");
    }
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 1, "{output:#?}");
    for path in hidden {
        let told = format!(
            "nodes/nog/{}: it was not made by netbe",
            &path[..path.len() - 2]
        );
        assert!(output.stdout.contains(&told), "{output:#?}");
        assert!(pool.at(&format!("nodes/nog/{path}")).exists(), "{path}");
    }
    pool.refuses(
        3,
        "destroy -ry nog",
        &["files that netbe did not make", ".trash-mine"],
    );
}

#[test]
fn invariant_9_leftovers_are_hidden_and_taken_away() {
    let pool = Pool::with_served_node();
    let before = pool.fingerprint();
    leave(&pool, "nodes/nog/.staged-b-64c0ffee1");
    leave(&pool, "nodes/nog/.trash-c-64c0ffee1");
    leave(&pool, "nodes/.staged-ordo-64c0ffee1/envs/first");
    leave(&pool, "nodes/.trash-werda-64c0ffee1/envs/first");
    for path in [
        ".pool.json.4194304.new",
        "publish/.exports.4194304.new",
        "nodes/nog/.node.json.4194304.new",
        "nodes/nog/envs/a/.env.json.4194304.new",
    ] {
        pool.write(path, "half");
    }
    symlink("envs/b", pool.at("nodes/nog/.active.4194304.new")).unwrap();
    symlink("x", pool.at(&format!("tftp/.{TFTP_NAME}.4194304.new"))).unwrap();
    assert_eq!(pool.names("nog"), ["a"]);
    assert_eq!(pool.netbe().ok("list -H").lines().count(), 2);
    assert_eq!(pool.netbe().ok("status").lines().count(), 3);
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("destroy -y nog/b");
    mends(
        &pool,
        &[
            ".staged-b-64c0ffee1",
            ".trash-c-64c0ffee1",
            ".staged-ordo-64c0ffee1",
            ".trash-werda-64c0ffee1",
            ".env.json.4194304.new",
            ".active.4194304.new",
        ],
    );
    before.assert_unchanged(&pool.fingerprint());
    assert_eq!(pool.subvolumes().len(), 4, "{:?}", pool.subvolumes());
}

#[test]
fn invariant_9_what_a_killed_command_was_writing_in_an_environment_is_taken_away() {
    let pool = Pool::with_served_node();
    let (root, boot) = (pool.half("nog/a", "root"), pool.half("nog/a", "boot"));
    fs::create_dir_all(root.join("etc/systemd/system/home.mount.d")).unwrap();
    fs::create_dir_all(boot.join("loader/entries")).unwrap();
    // Of the node, whose names they only resemble, or where netbe writes nothing.
    for path in [
        "etc/fstab.netbe-new",
        "etc/..netbe-new",
        "srv/.fstab.netbe-new",
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), "of the node").unwrap();
    }
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join(".fstab.netbe-new"), "of the server").unwrap();
    symlink(&outside, root.join("etc/link")).unwrap();
    let before = pool.fingerprint();
    let left = [
        root.join("etc/.fstab.netbe-new"),
        root.join("etc/systemd/system/home.mount.d/.netbe-data.conf.netbe-new"),
        boot.join(".cmdline.txt.netbe-new"),
        boot.join("loader/entries/.one.conf.netbe-new"),
    ];
    for path in &left {
        fs::write(path, "half").unwrap();
    }
    symlink(&outside, boot.join(".vmlinuz.netbe-new")).unwrap();
    fs::create_dir_all(boot.join(".dtb.netbe-new/overlays")).unwrap();
    fs::write(boot.join(".dtb.netbe-new/overlays/one.dtbo"), "half").unwrap();
    mends(
        &pool,
        &[
            "etc/.fstab.netbe-new",
            ".netbe-data.conf.netbe-new",
            ".cmdline.txt.netbe-new",
            ".one.conf.netbe-new",
            ".vmlinuz.netbe-new",
            ".dtb.netbe-new",
        ],
    );
    before.assert_unchanged(&pool.fingerprint());
    assert!(outside.join(".fstab.netbe-new").exists());
}

/// Marks an open file as a stage's maker does: fcntl(2), "Open file description locks".
fn mark(file: &fs::File) {
    let whole = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as i16,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)).unwrap();
}

#[test]
fn the_stage_of_a_running_command_stays() {
    let pool = Pool::with_node();
    leave(&pool, "nodes/nog/.staged-x-64c0ffee1");
    let stage = pool.at("nodes/nog/.staged-x-64c0ffee1");
    // As its maker guards it, with the lock of the node or without.
    let guard = fs::File::open(&stage).unwrap();
    guard.lock().unwrap();
    mark(&guard);
    pool.assert_sound();
    assert_eq!(pool.netbe().ok("check --repair"), "Everything is sound.\n");
    assert!(stage.join("root/file").exists());
    drop(guard);
    mends(&pool, &[".staged-x-64c0ffee1"]);
}

#[test]
fn a_lost_env_json_is_written_anew() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::remove_file(pool.at("nodes/nog/envs/b/env.json")).unwrap();
    mends(&pool, &["nog/b: env.json cannot be used"]);
    assert_eq!(pool.flags("nog/b"), "-");
    let row = pool.netbe().ok("list -H nog/b");
    assert!(row.contains("\t6.1.0-50-amd64\t"), "{row}");
    let record = pool.read("nodes/nog/envs/b/env.json");
    let uuid = pool.subvolume_uuid("nodes/nog/envs/b/root");
    assert!(record.contains(&uuid), "{record}");
    assert!(record.contains(r#""boot_mount": "/boot""#), "{record}");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("create nog/c");
    pool.assert_sound();
}

#[test]
fn a_missing_pointer_is_mended_where_only_one_can_be_meant() {
    let pool = Pool::with_served_node();
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    mends(&pool, &["nog: it has no active environment"]);
    assert_eq!(pool.active("nog"), "a");
    pool.netbe().ok("create nog/b");
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output.stdout.contains("remedy: netbe activate nog/b"),
        "{output:#?}"
    );
    assert!(fs::symlink_metadata(pool.at("nodes/nog/active")).is_err());
}

#[test]
fn stale_names_and_exports_are_mended() {
    let pool = Pool::with_served_node();
    let before = pool.fingerprint();
    pool.write("publish/exports", "# nothing\n");
    fs::remove_file(pool.at(&format!("tftp/{TFTP_NAME}"))).unwrap();
    symlink(
        "../nodes/nog/active/boot",
        pool.at("tftp/02-00-00-00-00-09"),
    )
    .unwrap();
    mends(
        &pool,
        &[
            "publish: the published configuration is not up to date",
            TFTP_NAME,
        ],
    );
    before.assert_unchanged(&pool.fingerprint());
}

/// Makes the state between the two renames of `rename nog/b c`: both are there.
fn half_renamed(pool: &Pool) {
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create nog/c --from nog/b");
    let old = pool.read("nodes/nog/envs/b/env.json");
    let new = old.replacen('{', "{\"replaces\": \"b\",", 1);
    pool.write("nodes/nog/envs/c/env.json", &new);
}

#[test]
fn invariant_9_a_rename_cut_short_shows_one_and_is_finished() {
    let pool = Pool::with_node();
    half_renamed(&pool);
    assert_eq!(pool.names("nog"), ["a", "c"]);
    mends(&pool, &["envs/b", "an interrupted rename"]);
    assert_eq!(pool.names("nog"), ["a", "c"]);
    assert!(!pool.at("nodes/nog/envs/b").exists());
    assert!(!pool.read("nodes/nog/envs/c/env.json").contains("replaces"));
}

#[test]
fn invariant_9_an_interrupted_rename_of_the_active_environment_keeps_it_active() {
    let pool = Pool::with_node();
    half_renamed(&pool);
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    symlink("envs/b", pool.at("nodes/nog/active")).unwrap();
    assert_eq!(pool.names("nog"), ["a", "b"]);
    mends(&pool, &["envs/c", "an interrupted rename"]);
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn half_an_environment_is_found_and_left_to_a_person() {
    let pool = Pool::with_node();
    fs::create_dir_all(pool.at("nodes/nog/envs/b/root")).unwrap();
    fs::write(pool.at("nodes/nog/envs/b/root/precious"), "x").unwrap();
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output.stdout.contains("remedy: netbe destroy nog/b"),
        "{output:#?}"
    );
    assert!(pool.at("nodes/nog/envs/b/root/precious").exists());
    assert_eq!(pool.flags("nog/b"), "!");
}
