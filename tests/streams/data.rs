//! A node's data from one pool to another: with its environment, into a node that has none there, whole or not at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use crate::crossing::fill;
use crate::support::{MAC, Pool, SERVER, System};
use crate::tree;

/// Makes two pools; in the first `nog/a` has data of /home and /srv.
fn two_with_data() -> (Pool, Pool) {
    let (here, there) = (Pool::bare(2 << 30), Pool::bare(2 << 30));
    for pool in [&here, &there] {
        pool.netbe().ok(&format!("init --server {SERVER}"));
        let system = System::debian().program("usr/sbin/mount.nfs", b"\x7fELF");
        pool.import("base/stock", &system.file("home/ada/letter", "dear all"));
    }
    here.netbe().ok("create nog/a");
    here.netbe().ok("set data=/home,/srv nog");
    fill(&place(&here, "nog", "+srv"));
    (here, there)
}

fn place(pool: &Pool, node: &str, name: &str) -> PathBuf {
    pool.at(&format!("nodes/{node}/data/{name}"))
}

fn mounted(pool: &Pool, env: &str) -> usize {
    let text = fs::read_to_string(pool.half(env, "root").join("etc/fstab")).unwrap();
    text.lines()
        .filter(|line| line.contains("x-netbe-data"))
        .count()
}

fn assert_same_data(here: &Pool, there: &Pool, node: &str) {
    for name in ["+home", "+srv"] {
        let (from, to) = (place(here, "nog", name), place(there, node, name));
        tree::assert_same(&tree::read(&from), &tree::read(&to));
    }
}

#[test]
fn a_new_node_gets_the_data_that_a_stream_has() {
    let (here, there) = two_with_data();
    let top = place(&here, "nog", "+home");
    chown(&top, Some(7), Some(8)).unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o2751)).unwrap();
    let plan = here.plans("export nog/a --data -o nowhere");
    assert!(
        plan.contains("would send all of the data of nog to 'nowhere': /home, /srv\n"),
        "{plan}"
    );
    let output = here.sends("nog/a --data", &there, "nog/a --data");
    assert!(
        output
            .stdout
            .starts_with("Imported nog/a as a new node, kernel ")
            && output.stdout.ends_with(
                ", and data of nog: /home, /srv.
"
            ),
        "{output:#?}"
    );
    assert_same_data(&here, &there, "nog");
    let got = fs::metadata(place(&there, "nog", "+home")).unwrap();
    assert_eq!((got.uid(), got.gid(), got.mode() & 0o7777), (7, 8, 0o2751));
    assert_eq!(
        there.netbe().ok("get -H data nog"),
        "nog\tdata\t/home,/srv\tlocal\n"
    );
    assert_eq!(mounted(&there, "nog/a"), 2);
    there.netbe().ok(&format!("set mac={MAC} nog"));
    let exports = there.read("publish/exports");
    assert!(exports.contains("/nodes/nog/data/+home"), "{exports}");
    // In use from here on: a repair must not take it for a leftover.
    fs::write(place(&there, "nog", "+home/new"), "x").unwrap();
    there.assert_sound();
    here.assert_sound();
}

#[test]
fn a_node_that_is_there_mounts_it_in_all_of_its_environments() {
    let (here, there) = two_with_data();
    there.netbe().ok(&format!("create ordo/x --mac {MAC}"));
    there.netbe().ok("set data=/var/log ordo");
    let file = here.exported("nog/a --data");
    let line = format!("import ordo/y {} --data", file.display());
    let plan = there.plans(&line);
    for step in [
        "would receive data of ordo: /home, /srv\n",
        "would have the fstab of ordo/x mount the data of ordo\n",
    ] {
        assert!(plan.contains(step), "{plan}");
    }
    there.netbe().ok(&line);
    assert_same_data(&here, &there, "ordo");
    assert_eq!(
        (mounted(&there, "ordo/x"), mounted(&there, "ordo/y")),
        (3, 3)
    );
    let output = there.netbe().ok("get -H data ordo");
    assert_eq!(output, "ordo\tdata\t/var/log,/home,/srv\tlocal\n");
    assert!(there.read("publish/exports").contains("/ordo/data/+srv"));
    there.assert_sound();
    // What an interrupted import has left is there when it is repeated, and may have been written in since.
    let letter = place(&there, "ordo", "+home").join("ada/letter");
    fs::write(&letter, "newer").unwrap();
    let output = there
        .netbe()
        .run(&format!("import ordo/again {} --data", file.display()));
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output
            .stderr
            .contains("ordo has /home, /srv from this very stream already; what is there stays"),
        "{output:#?}"
    );
    assert_eq!(fs::read_to_string(&letter).unwrap(), "newer");
    assert_eq!(mounted(&there, "ordo/again"), 3);
    there.assert_sound();
    // That of another export, even of the same content, is not.
    let file = here.exported("nog/a --data");
    let line = format!("import ordo/z {} --data", file.display());
    there.refuses(
        3,
        &line,
        &[
            "ordo has data of its own at /home already",
            "without --data",
        ],
    );
    there.netbe().ok("set data=/var/log ordo");
    there.refuses(3, &line, &["netbe destroy --data ordo /home"]);
}

#[test]
fn data_that_does_not_go_along_is_named() {
    let (here, there) = two_with_data();
    let stream = here.beside().join("alone");
    let output = here
        .netbe()
        .run(&format!("export nog/a -o {}", stream.display()));
    assert!(
        output
            .stderr
            .contains("the data of nog does not go along without --data: /home, /srv"),
        "{output:#?}"
    );
    // What any netbe reads.
    assert!(fs::read(&stream).unwrap().starts_with(b"NETBE-STREAM 1\n"));
    there.refuses(
        3,
        &format!("import nog/a {} --data", stream.display()),
        &["the stream has no data of nog", "netbe export nog/a --data"],
    );
    let file = here.exported("nog/a --data");
    assert!(fs::read(&file).unwrap().starts_with(b"NETBE-STREAM 2\n"));
    let output = there
        .netbe()
        .run(&format!("import nog/a {}", file.display()));
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output
            .stderr
            .contains("the data of nog in the stream was left out: /home, /srv"),
        "{output:#?}"
    );
    assert_eq!(mounted(&there, "nog/a"), 0);
    assert!(!there.at("nodes/nog/data").exists());
    there.assert_sound();
    there.refuses(3, "export nog/a --data -o x", &["nog has no data"]);
    let system = System::debian();
    let dir = there.beside().join("tree");
    system.build(&dir);
    there.refuses(
        2,
        &format!("import new/a {} --data", dir.display()),
        &["--data is for a stream"],
    );
    there.refuses(
        3,
        &format!("import base/b {} --data", file.display()),
        &["base is a template"],
    );
}

#[test]
fn data_goes_whole_with_changes() {
    let (here, there) = two_with_data();
    let base = here.exported("nog/a");
    there
        .netbe()
        .ok(&format!("import nog/a {}", base.display()));
    here.netbe().ok("create nog/b");
    fs::write(here.half("nog/b", "root").join("etc/new"), "new").unwrap();
    fs::write(place(&here, "nog", "+home/ada/letter"), "newer").unwrap();
    here.sends("nog/b --since nog/a --data", &there, "nog/b --data");
    assert_same_data(&here, &there, "nog");
    assert_eq!((mounted(&there, "nog/a"), mounted(&there, "nog/b")), (2, 2));
    there.assert_sound();
}

#[test]
fn a_stream_with_damaged_data_leaves_no_files() {
    let (here, there) = two_with_data();
    there.netbe().ok("create ordo/x");
    let whole = fs::read(here.exported("nog/a --data")).unwrap();
    let data = whole.windows(4).position(|w| w == b"PATH").unwrap();
    let before = there.skeleton();
    let file = there.beside().join("broken");
    let some = (whole.len() - data) / 20;
    for at in (0..20).map(|i| data + i * some) {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        for (bytes, options) in [
            (&whole[..at], " --data"),
            (&altered[..], " --data"),
            (&altered[..], ""),
        ] {
            fs::write(&file, bytes).unwrap();
            for node in ["ordo", "new"] {
                let line = format!("import {node}/b {}{options}", file.display());
                let output = there.netbe().run(&line);
                assert_eq!(output.status, 1, "{at} {line}: {output:#?}");
            }
        }
    }
    assert_eq!(there.skeleton(), before);
    there.assert_sound();
}

#[test]
fn a_dry_run_foresees_what_would_not_mount_it() {
    let (here, there) = two_with_data();
    there.netbe().ok(&format!("create ordo/x --mac {MAC}"));
    let fstab = there.half("ordo/x", "root").join("etc/fstab");
    let own = fs::read_to_string(&fstab).unwrap() + "/dev/sdb1 /srv ext4 defaults 0 2\n";
    fs::write(&fstab, own).unwrap();
    let file = here.exported("nog/a --data");
    for dry in ["-n ", ""] {
        let line = format!("import {dry}ordo/y {} --data", file.display());
        let output = there.netbe().run(&line);
        assert_eq!(output.status, 3, "{line}: {output:#?}");
        assert!(
            output.stderr.contains("ordo/x does not mount the data"),
            "{line}: {output:#?}"
        );
        assert!(
            !output.stdout.contains("fstab of ordo/x"),
            "{line}: {output:#?}"
        );
    }
    assert_eq!(mounted(&there, "ordo/y"), 2);
}
