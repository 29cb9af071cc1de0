//! Files, directories and links, path by path.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::Duration;

use serde_json::Value;

use crate::support::Pool;
use crate::{at, names, read, write};

/// Returns a pool with nog/a and nog/b, each with its changes since they parted.
fn parted(before: impl Fn(&Pool), of_a: impl Fn(&Pool), of_b: impl Fn(&Pool)) -> Pool {
    let pool = Pool::with_node();
    before(&pool);
    // The kernel tells the time of a snapshot by its tick, that of a file more exactly; what is read in these tests
    // gets another access time, where only the times tell that nothing was changed.
    std::thread::sleep(Duration::from_millis(50));
    pool.netbe().ok("create nog/b");
    of_a(&pool);
    of_b(&pool);
    pool
}

#[test]
fn a_change_of_one_side_is_taken() {
    let pool = parted(
        |pool| {
            for name in [
                "same",
                "of-a",
                "of-b",
                "gone-in-a",
                "gone-in-b",
                "mode",
                "owner",
            ] {
                write(pool, "nog/a", &format!("etc/x/{name}"), "old");
            }
            write(pool, "nog/a", "srv/gone/deep/file", "old");
        },
        |pool| {
            write(pool, "nog/a", "etc/x/of-a", "a");
            write(pool, "nog/a", "etc/x/new-in-a", "a");
            write(pool, "nog/a", "home/pi/deep/er/file", "a");
            fs::remove_file(at(pool, "nog/a", "etc/x/gone-in-a")).unwrap();
            fs::remove_dir_all(at(pool, "nog/a", "srv/gone")).unwrap();
            let mode = fs::Permissions::from_mode(0o4750);
            fs::set_permissions(at(pool, "nog/a", "etc/x/mode"), mode).unwrap();
            chown(at(pool, "nog/a", "etc/x/owner"), Some(7), Some(8)).unwrap();
            let home = at(pool, "nog/a", "home/pi");
            fs::set_permissions(home, fs::Permissions::from_mode(0o700)).unwrap();
            symlink("of-a", at(pool, "nog/a", "etc/x/link")).unwrap();
            xattr::set(at(pool, "nog/a", "etc/x/new-in-a"), "user.k", b"v").unwrap();
        },
        |pool| {
            write(pool, "nog/b", "etc/x/of-b", "b");
            write(pool, "nog/b", "etc/x/new-in-b", "b");
            fs::remove_file(at(pool, "nog/b", "etc/x/gone-in-b")).unwrap();
        },
    );
    let before = pool.fingerprint();
    pool.netbe().ok("merge nog/a nog/b --name m");
    for (path, want) in [
        ("etc/x/same", "old"),
        ("etc/x/of-a", "a"),
        ("etc/x/new-in-a", "a"),
        ("etc/x/gone-in-a", "-"),
        ("etc/x/of-b", "b"),
        ("etc/x/new-in-b", "b"),
        ("etc/x/gone-in-b", "-"),
        ("home/pi/deep/er/file", "a"),
        ("srv/gone/deep/file", "-"),
    ] {
        assert_eq!(read(&pool, "nog/m", path), want, "{path}");
    }
    assert!(!at(&pool, "nog/m", "srv/gone").exists());
    let found = |path: &str| at(&pool, "nog/m", path).symlink_metadata().unwrap();
    assert_eq!(found("etc/x/mode").mode() & 0o7777, 0o4750);
    assert_eq!(
        (found("etc/x/owner").uid(), found("etc/x/owner").gid()),
        (7, 8)
    );
    assert_eq!(found("home/pi").mode() & 0o7777, 0o700);
    let link = fs::read_link(at(&pool, "nog/m", "etc/x/link")).unwrap();
    assert_eq!(link.to_str(), Some("of-a"));
    let value = xattr::get(at(&pool, "nog/m", "etc/x/new-in-a"), "user.k").unwrap();
    assert_eq!(value.as_deref(), Some(&b"v"[..]));
    // Both stay as they are, and the result is an environment like any other.
    let after = pool.fingerprint().without(&["nodes/nog/envs/m"]);
    before.assert_unchanged(&after);
    assert_eq!(
        names(&pool.at("nodes/nog")),
        ["active", "envs", "node.json"]
    );
    pool.assert_sound();
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "m");
}

#[test]
fn a_conflict_keeps_tos_file_and_puts_froms_beside_it() {
    let conflicting = || {
        parted(
            |pool| {
                for name in ["both", "gone-in-b", "gone-in-a"] {
                    write(pool, "nog/a", &format!("srv/{name}"), "old");
                }
            },
            |pool| {
                write(pool, "nog/a", "srv/both", "of a");
                write(pool, "nog/a", "srv/new", "of a");
                write(pool, "nog/a", "srv/gone-in-b", "of a");
                write(pool, "nog/a", "srv/same", "of both");
                fs::remove_file(at(pool, "nog/a", "srv/gone-in-a")).unwrap();
            },
            |pool| {
                write(pool, "nog/b", "srv/both", "of b");
                write(pool, "nog/b", "srv/new", "of b");
                write(pool, "nog/b", "srv/gone-in-a", "of b");
                write(pool, "nog/b", "srv/same", "of both");
                fs::remove_file(at(pool, "nog/b", "srv/gone-in-b")).unwrap();
            },
        )
    };
    let pool = conflicting();
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 1, "{}", done.stderr);
    for line in [
        "C /srv/both  changed in both; FROM's: /srv/both.netbe-a",
        "C /srv/new  changed in both; FROM's: /srv/new.netbe-a",
        "C /srv/gone-in-b  changed in FROM, removed in TO; FROM's: /srv/gone-in-b.netbe-a",
        "C /srv/gone-in-a  removed in FROM, changed in TO",
    ] {
        assert!(done.stdout.lines().any(|l| l == line), "{}", done.stdout);
    }
    for (path, want) in [
        ("both", "of b"),
        ("both.netbe-a", "of a"),
        ("new", "of b"),
        ("new.netbe-a", "of a"),
        ("gone-in-b", "-"),
        ("gone-in-b.netbe-a", "of a"),
        ("gone-in-a", "of b"),
        ("same", "of both"),
        ("same.netbe-a", "-"),
    ] {
        assert_eq!(read(&pool, "nog/m", &format!("srv/{path}")), want, "{path}");
    }
    // It is never taken by itself.
    pool.netbe().fails(3, "activate nog");
    for (side, of_both, gone_in_a) in [("--ours", "of b", "of b"), ("--theirs", "of a", "-")] {
        let pool = conflicting();
        let done = pool
            .netbe()
            .run(&format!("merge nog/a nog/b --name m {side}"));
        assert_eq!(done.status, 0, "{side} {}", done.stderr);
        assert_eq!(read(&pool, "nog/m", "srv/both"), of_both, "{side}");
        assert_eq!(read(&pool, "nog/m", "srv/gone-in-a"), gone_in_a, "{side}");
        assert_eq!(read(&pool, "nog/m", "srv/both.netbe-a"), "-", "{side}");
    }
}

#[test]
fn a_directory_in_one_and_something_else_in_the_other_loses_neither() {
    let pool = parted(
        |pool| {
            write(pool, "nog/a", "srv/becomes-link/file", "old");
            write(pool, "nog/a", "srv/becomes-file/file", "old");
            write(pool, "nog/a", "srv/gets-content", "old");
        },
        |pool| {
            for name in ["becomes-link", "becomes-file"] {
                fs::remove_dir_all(at(pool, "nog/a", &format!("srv/{name}"))).unwrap();
            }
            symlink("elsewhere", at(pool, "nog/a", "srv/becomes-link")).unwrap();
            write(pool, "nog/a", "srv/becomes-file", "of a");
            fs::remove_file(at(pool, "nog/a", "srv/gets-content")).unwrap();
            write(pool, "nog/a", "srv/gets-content/file", "of a");
        },
        |pool| {
            write(pool, "nog/b", "srv/becomes-file/own", "of b");
            write(pool, "nog/b", "srv/gets-content", "of b");
        },
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 1, "{}{}", done.stdout, done.stderr);
    let link = fs::read_link(at(&pool, "nog/m", "srv/becomes-link")).unwrap();
    assert_eq!(link.to_str(), Some("elsewhere"));
    assert_eq!(read(&pool, "nog/m", "srv/becomes-file/own"), "of b");
    assert_eq!(read(&pool, "nog/m", "srv/becomes-file.netbe-a"), "of a");
    assert_eq!(read(&pool, "nog/m", "srv/gets-content"), "of b");
    assert_eq!(
        read(&pool, "nog/m", "srv/gets-content.netbe-a/file"),
        "of a"
    );
}

#[test]
fn hard_links_flags_and_names_that_are_no_text_come_along() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let pool = parted(
        |pool| write(pool, "nog/a", "srv/protected/old", "old"),
        |pool| {
            write(pool, "nog/a", "srv/one", "linked");
            fs::hard_link(at(pool, "nog/a", "srv/one"), at(pool, "nog/a", "srv/two")).unwrap();
            let name = OsStr::from_bytes(b"no\xff\ntext");
            fs::write(at(pool, "nog/a", "srv").join(name), "x").unwrap();
            write(pool, "nog/a", "srv/protected/old", "of a");
            write(pool, "nog/a", "srv/immutable", "of a");
            for path in ["srv/protected", "srv/immutable"] {
                crate::support::run(
                    std::process::Command::new("chattr")
                        .arg("+i")
                        .arg(at(pool, "nog/a", path)),
                );
            }
        },
        |pool| {
            crate::support::run(std::process::Command::new("chattr").arg("+i").arg(at(
                pool,
                "nog/b",
                "srv/protected",
            )));
        },
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    let inode = |path: &str| at(&pool, "nog/m", path).metadata().unwrap().ino();
    assert_eq!(inode("srv/one"), inode("srv/two"));
    let name = OsStr::from_bytes(b"no\xff\ntext");
    assert!(at(&pool, "nog/m", "srv").join(name).exists());
    assert_eq!(read(&pool, "nog/m", "srv/protected/old"), "of a");
    for path in ["srv/protected", "srv/immutable"] {
        assert!(fs::remove_dir(at(&pool, "nog/m", path)).is_err());
        let flags = crate::support::output(
            std::process::Command::new("lsattr")
                .arg("-d")
                .arg(at(&pool, "nog/m", path)),
        );
        let flags = String::from_utf8(flags).unwrap();
        assert!(flags.split(' ').next().unwrap().contains('i'), "{flags}");
    }
    pool.netbe().ok("destroy -y nog/m");
}

#[test]
fn files_of_packages_are_as_in_to_and_their_configuration_is_merged() {
    let pool = parted(
        |pool| {
            write(
                pool,
                "nog/a",
                "var/lib/dpkg/info/app.list",
                "/.\n/etc\n/etc/app.conf\n/usr/bin/app\n",
            );
            write(
                pool,
                "nog/a",
                "var/lib/dpkg/info/app.conffiles",
                "/etc/app.conf\n",
            );
            write(pool, "nog/a", "usr/bin/app", "old");
            write(pool, "nog/a", "etc/app.conf", "old");
        },
        |pool| {
            write(pool, "nog/a", "usr/bin/app", "of a");
            write(pool, "nog/a", "etc/app.conf", "of a");
            write(pool, "nog/a", "usr/local/bin/own", "of a");
            write(pool, "nog/a", "var/lib/dpkg/status", "of a");
        },
        |_| {},
    );
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(read(&pool, "nog/m", "usr/bin/app"), "old");
    assert_eq!(read(&pool, "nog/m", "etc/app.conf"), "of a");
    assert_eq!(read(&pool, "nog/m", "usr/local/bin/own"), "of a");
    assert_ne!(read(&pool, "nog/m", "var/lib/dpkg/status"), "of a");
    assert!(
        done.stderr
            .contains("2 changed files that packages own, or their tools made, stay as in nog/b"),
        "{}",
        done.stderr
    );
}

#[test]
fn only_the_named_paths_are_merged_and_a_dry_run_lists_the_same() {
    let pool = parted(
        |_| {},
        |pool| {
            write(pool, "nog/a", "etc/one", "1");
            write(pool, "nog/a", "home/pi/two", "2");
            write(pool, "nog/a", "home/pi/three", "3");
        },
        |pool| write(pool, "nog/b", "home/pi/three", "other"),
    );
    let plan = pool.plans("merge nog/a nog/b --name m");
    for line in [
        "snapshot both halves of nog/b as nog/m",
        "take /etc/one from nog/a",
        "take /home/pi/two from nog/a",
        "leave /home/pi/three as in nog/b (changed in both), and put that of nog/a beside it: /home/pi/three.netbe-a",
    ] {
        assert!(plan.lines().any(|l| l.contains(line)), "{plan}");
    }
    let json = pool.netbe().run("merge nog/a nog/b /home --name m --json");
    assert_eq!(json.status, 1);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["environment"], "nog/m");
    assert_eq!(json["files"][0]["path"], "/home/pi/two");
    assert_eq!(json["files"][1], Value::Null, "{json}");
    assert_eq!(json["conflicts"][0]["beside"], "/home/pi/three.netbe-a");
    assert_eq!(read(&pool, "nog/m", "etc/one"), "-");
    assert_eq!(read(&pool, "nog/m", "home/pi/two"), "2");
    // What was not asked for is still to come.
    pool.netbe().ok("merge nog/a nog/m /etc --name n");
    assert_eq!(read(&pool, "nog/n", "etc/one"), "1");
}

#[test]
fn impossible_merges_are_refused() {
    let pool = parted(|_| {}, |_| {}, |_| {});
    pool.refuses(2, "merge nog/a nog/a", &["nog/a twice"]);
    pool.refuses(4, "merge nog/a nog/none", &["none"]);
    pool.refuses(2, "merge nog/a nog/b etc/hosts", &["no absolute path"]);
    pool.refuses(2, "merge nog/a nog/b /etc/../usr", &["no absolute path"]);
    pool.refuses(3, "merge nog/a nog/b --name b", &["nog/b already exists"]);
    let done = pool.netbe().run("merge nog/a nog/b --name m");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("nog/b has everything that nog/a has changed")
            || done
                .stdout
                .contains("nog/b has everything that nog/a has changed"),
        "{}{}",
        done.stdout,
        done.stderr
    );
    assert_eq!(pool.names("nog"), ["a", "b"]);
}
