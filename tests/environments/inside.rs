//! Parts of an environment that a plain snapshot does not have: nested subvolumes, swap files; and a
//! source that is being written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Fingerprint, Pool, run};

#[test]
fn a_nested_subvolume_arrives_as_a_directory_with_its_content() {
    let pool = Pool::with_node();
    let inner = "nodes/nog/envs/a/root/srv/inner";
    pool.subvolume(inner);
    pool.subvolume(&format!("{inner}/deep"));
    fs::create_dir(pool.at(&format!("{inner}/deep/dir"))).unwrap();
    fs::write(pool.at(&format!("{inner}/deep/dir/file")), "x").unwrap();
    fs::hard_link(
        pool.at(&format!("{inner}/deep/dir/file")),
        pool.at(&format!("{inner}/deep/link")),
    )
    .unwrap();
    xattr::set(pool.at(&format!("{inner}/deep")), "user.note", b"y").unwrap();
    let before = Fingerprint::of(&pool.at(inner));
    for (line, copy) in [
        ("create nog/b", "nog/b"),
        ("clone nog/a nog/c", "nog/c"),
        ("create ordo/x --from nog", "ordo/x"),
    ] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{output:#?}");
        assert!(
            output
                .stderr
                .contains("note: srv/inner is a nested subvolume of nog/a"),
            "{output:#?}"
        );
        let copied = pool.half(copy, "root").join("srv/inner");
        assert_ne!(copied.metadata().unwrap().ino(), 256);
        before.assert_unchanged(&Fingerprint::of(&copied));
    }
    // What it was made from stays as it was.
    before.assert_unchanged(&Fingerprint::of(&pool.at(inner)));
    assert_eq!(pool.at(inner).metadata().unwrap().ino(), 256);
    assert_eq!(pool.netbe().run("check").status, 1);
    pool.netbe().ok("activate nog/b");
    // With all that is nested in it.
    pool.netbe().ok("destroy -y nog/a");
    assert!(!pool.at("nodes/nog/envs/a").exists());
    assert_eq!(pool.subvolumes().len(), 8, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn a_nested_subvolume_keeps_the_flags_of_its_files() {
    let pool = Pool::with_node();
    let inner = "nodes/nog/envs/a/root/srv/inner";
    pool.subvolume(inner);
    let top = pool.at(inner);
    let chattr = |flags: &str, path: &std::path::Path| {
        run(Command::new("chattr").arg(flags).arg(path));
    };
    fs::create_dir(top.join("db")).unwrap();
    chattr("+C", &top.join("db"));
    fs::write(top.join("db/data"), [7; 100_000]).unwrap();
    for (name, flag) in [("i", "+i"), ("a", "+a"), ("d", "+d"), ("A", "+A")] {
        fs::write(top.join(name), name).unwrap();
        if name == "i" {
            fs::hard_link(top.join(name), top.join("linked")).unwrap();
        }
        chattr(flag, &top.join(name));
    }
    chattr("+i", &top.join("db"));
    let flags = |environment: &str| {
        let listed = Command::new("lsattr")
            .current_dir(pool.half(environment, "root").join("srv/inner"))
            .args(["-d", ".", "db", "db/data", "i", "a", "d", "A", "linked"])
            .output()
            .unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let before = flags("nog/a");
    assert_eq!(
        before.lines().filter(|l| l[..20].contains('i')).count(),
        3,
        "{before}"
    );
    pool.netbe().ok("clone nog/a nog/b");
    assert_eq!(before, flags("nog/b"));
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn a_renamed_environment_carries_its_nested_subvolumes() {
    let pool = Pool::with_node();
    pool.subvolume("nodes/nog/envs/a/boot/inner");
    fs::write(pool.at("nodes/nog/envs/a/boot/inner/file"), "x").unwrap();
    pool.netbe().ok("rename nog/a b");
    assert_eq!(pool.read("nodes/nog/envs/b/boot/inner/file"), "x");
    assert_eq!(pool.subvolumes().len(), 4, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn snapshots_inside_are_not_left_as_empty_stubs() {
    // As snapper leaves them: read-only, each with all of the root in it.
    let pool = Pool::with_node();
    let root = pool.half("nog/a", "root");
    fs::create_dir_all(root.join(".snapshots/1")).unwrap();
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "snapshot", "-r"])
        .arg(&root)
        .arg(root.join(".snapshots/1/snapshot")));
    pool.netbe().ok("create nog/b");
    let copied = pool.half("nog/b", "root").join(".snapshots/1/snapshot");
    assert_eq!(
        fs::read_to_string(copied.join("etc/hostname")).unwrap(),
        "nog\n"
    );
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok("destroy -y nog/a");
    pool.assert_sound();
}

#[test]
fn a_read_only_half_is_copied_writable_and_can_be_destroyed() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    for half in ["root", "boot"] {
        run(Command::new("btrfs")
            .args(["property", "set"])
            .arg(pool.half("nog/b", half))
            .args(["ro", "true"]));
    }
    pool.netbe().ok("create nog/c --from nog/b");
    fs::write(pool.half("nog/c", "root").join("mark"), "x").unwrap();
    pool.netbe().ok("create ordo/x --from nog/b");
    // The node would mount its root to write it.
    let read_only = |text: &str| text.matches("half is a read-only subvolume").count();
    let found = pool.netbe().run("check");
    assert_eq!(read_only(&found.stdout), 2, "{found:#?}");
    let listed = pool.netbe().run("list nog");
    assert!(listed.stdout.contains("b            !"), "{listed:#?}");
    assert_eq!(read_only(&listed.stderr), 2, "{listed:#?}");
    let why = ["nog/b: its root half is a read-only subvolume"];
    pool.refuses(3, "activate nog/b", &why);
    pool.refuses(3, "activate nog/b -n", &why);
    let output = pool.netbe().run("activate nog/b --force");
    assert_eq!(
        (output.status, read_only(&output.stderr)),
        (0, 2),
        "{output:#?}"
    );
    pool.netbe().ok("activate nog/a");
    // What machines only read may be so.
    pool.netbe().ok("set access=ro nog");
    let found = pool.netbe().run("check");
    assert_eq!(read_only(&found.stdout), 0, "{found:#?}");
    let listed = pool.netbe().run("list nog");
    assert_eq!(read_only(&listed.stderr), 0, "{listed:#?}");
    pool.netbe().ok("set access= nog");
    pool.netbe().ok("rename nog/b d");
    run(Command::new("btrfs")
        .args(["property", "set"])
        .arg(pool.half("nog/d", "root"))
        .args(["ro", "true"]));
    pool.netbe().ok("destroy -y nog/d");
    assert_eq!(pool.names("nog"), ["a", "c"]);
    pool.assert_sound();
}

/// Makes a swap file, as btrfs-progs does since 6.1.
fn swap_file(file: &Path) {
    fs::write(file, "").unwrap();
    run(Command::new("chattr").arg("+C").arg(file));
    fs::write(file, vec![0_u8; 8 << 20]).unwrap();
    run(Command::new("chmod").arg("600").arg(file));
    run(Command::new("mkswap").arg(file));
}

#[test]
fn a_swap_file_in_use_is_named() {
    let pool = Pool::with_node();
    swap_file(&pool.half("nog/a", "root").join("swapfile"));
    // One that is not in use is a file like any other.
    pool.netbe().ok("create nog/b");
    assert!(pool.half("nog/b", "root").join("swapfile").exists());
    // What a snapshot shares with it, btrfs would not take for one.
    let file = pool.half("nog/a", "root").join("swap-in-use");
    swap_file(&file);
    // A machine that takes no swap file on btrfs (Linux 5.0 does) cannot run this test.
    run(Command::new("swapon").arg(&file));
    let before = pool.names("nog");
    let output = pool.netbe().run("create nog/c");
    let destroyed = pool.netbe().run("destroy -y -r nog");
    // Wherever it is by now: the machine would go on using it.
    run(Command::new("find").arg(pool.path()).args([
        "-name",
        "swap-in-use",
        "-exec",
        "swapoff",
        "{}",
        ";",
    ]));
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output
            .stderr
            .contains("nog/a holds a swap file that is in use"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("(swapoff)"), "{output:#?}");
    assert_eq!(destroyed.status, 3, "{destroyed:#?}");
    assert!(
        destroyed.stderr.contains("a swap file that is in use")
            && destroyed.stderr.contains("hint: swapoff"),
        "{destroyed:#?}"
    );
    assert_eq!(pool.names("nog"), before);
    pool.netbe().ok("check --repair");
    pool.netbe().ok("create nog/c");
}

#[test]
fn a_default_subvolume_inside_is_named() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    run(Command::new("btrfs")
        .args(["subvolume", "set-default"])
        .arg(pool.half("nog/b", "root")));
    let output = pool.netbe().run("destroy -y nog/b");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(output.stderr.contains("nog/b"), "{output:#?}");
    assert!(output.stderr.contains("default"), "{output:#?}");
    run(Command::new("btrfs")
        .args(["subvolume", "set-default", "5"])
        .arg(pool.path()));
    pool.netbe().run("destroy -y nog/b");
    pool.netbe().run("check --repair");
    assert_eq!(pool.names("nog"), ["a"]);
    pool.assert_sound();
}

#[test]
fn a_source_that_is_written_and_mounted_gives_whole_copies() {
    let pool = Pool::with_served_node();
    pool.saw_boot("nog", "a");
    let at = pool.netbe().ok("mount nog/a");
    assert_eq!(at.trim(), "/run/netbe/mnt/nog-a");
    let root = pool.half("nog/a", "root");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !done.load(Ordering::Relaxed) {
                // What is written last is never there without what was written before it.
                for name in ["one", "other"] {
                    fs::write(root.join("new"), number.to_string()).unwrap();
                    fs::rename(root.join("new"), root.join(name)).unwrap();
                }
                fs::create_dir_all(root.join(format!("srv/{}", number % 50))).unwrap();
                number += 1;
            }
        });
        for i in 0..4 {
            pool.netbe().ok(&format!("create nog/e{i}"));
            pool.netbe().ok(&format!("create n{i}/x --from nog/a"));
        }
        done.store(true, Ordering::Relaxed);
    });
    for i in 0..4 {
        let copy = pool.half(&format!("nog/e{i}"), "root");
        let read = |name: &str| {
            let text = fs::read_to_string(copy.join(name)).unwrap_or_default();
            text.parse::<u64>().unwrap_or(0)
        };
        let (one, other) = (read("one"), read("other"));
        assert!(one == other || one == other + 1, "{one} {other}");
    }
    pool.netbe().ok("umount nog/a");
    pool.assert_sound();
}
