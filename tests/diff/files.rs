//! Which files `diff` finds: each kind of change, whatever the two have in common.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use super::{data, differs, document, pairs, pool};
use crate::support::noise;
use crate::support::{Fingerprint, Pool, System, run};

#[test]
fn each_kind_of_change_is_listed() {
    let large = noise(200_000, 1);
    let pool = pool(|data| {
        for name in [
            "same",
            "touched",
            "rewritten",
            "content",
            "grown",
            "mode",
            "owner",
            "acl",
            "caps",
            "attribute",
            "kind",
            "gone",
            "moved",
            "linked",
        ] {
            fs::write(data.join(name), &large).unwrap();
        }
        fs::create_dir_all(data.join("tree/below")).unwrap();
        fs::write(data.join("tree/below/file"), "text").unwrap();
        symlink("here", data.join("link")).unwrap();
        let zero = makedev(1, 5);
        mknod(&data.join("device"), SFlag::S_IFCHR, Mode::S_IRUSR, zero).unwrap();
        fs::create_dir(data.join("private")).unwrap();
    });
    let b = data(&pool, "nog/b");
    run(Command::new("touch").arg(b.join("touched")));
    fs::write(b.join("rewritten"), &large).unwrap();
    fs::write(b.join("content"), noise(200_000, 2)).unwrap();
    fs::write(b.join("grown"), [&large[..], b"more"].concat()).unwrap();
    fs::set_permissions(b.join("mode"), fs::Permissions::from_mode(0o4750)).unwrap();
    chown(b.join("owner"), Some(1), Some(2)).unwrap();
    run(Command::new("setfacl")
        .args(["-m", "u:7:r"])
        .arg(b.join("acl")));
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(b.join("caps"), "security.capability", &capability).unwrap();
    xattr::set(b.join("attribute"), "user.note", b"x").unwrap();
    fs::remove_file(b.join("kind")).unwrap();
    symlink("same", b.join("kind")).unwrap();
    fs::remove_file(b.join("gone")).unwrap();
    fs::rename(b.join("moved"), b.join("mpved")).unwrap();
    fs::hard_link(b.join("linked"), b.join("second")).unwrap();
    fs::rename(b.join("tree"), b.join("trees")).unwrap();
    fs::remove_file(b.join("link")).unwrap();
    symlink("there", b.join("link")).unwrap();
    fs::remove_file(b.join("device")).unwrap();
    let zero = makedev(1, 3);
    mknod(&b.join("device"), SFlag::S_IFCHR, Mode::S_IRUSR, zero).unwrap();
    fs::set_permissions(b.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(pool.half("nog/b", "boot").join("new"), "1").unwrap();

    let before = Fingerprint::of(pool.path());
    let all = document(&pool, "diff --files --json nog/b");
    let wanted = [
        ("/boot/new", "added"),
        ("/data/acl", "system.posix_acl_access"),
        ("/data/attribute", "user.note"),
        ("/data/caps", "security.capability"),
        ("/data/content", "content"),
        ("/data/device", "device"),
        ("/data/gone", "removed"),
        ("/data/grown", "content"),
        ("/data/kind", "type"),
        ("/data/link", "target"),
        ("/data/mode", "mode"),
        ("/data/moved", "removed"),
        ("/data/mpved", "added"),
        ("/data/owner", "owner"),
        ("/data/private", "mode"),
        ("/data/second", "added"),
        ("/data/tree", "removed"),
        ("/data/tree/below", "removed"),
        ("/data/tree/below/file", "removed"),
        ("/data/trees", "added"),
        ("/data/trees/below", "added"),
        ("/data/trees/below/file", "added"),
    ];
    assert_eq!(differs(&all, false), pairs(&wanted));
    let find = |path: &str| {
        let files = all["files"].as_array().unwrap();
        files.iter().find(|f| f["path"] == path).unwrap().clone()
    };
    assert_eq!(
        find("/data/mode")["after"],
        json!({"type": "file", "mode": "4750", "uid": 0, "gid": 0, "size": 200_000, "target": null, "device": null})
    );
    assert_eq!(find("/boot/new")["half"], "boot");
    assert_eq!(find("/data/link")["before"]["target"], "here");
    assert_eq!(find("/data/gone")["after"], Value::Null);

    let lines = pool.netbe().ok("diff --files nog/a nog/b");
    for line in [
        "M /data/acl  ACL\n",
        "M /data/caps  capabilities\n",
        "M /data/content  content (195.3 KiB)\n",
        "M /data/device  device 1:5 -> 1:3\n",
        "- /data/gone  -rw-r--r-- 0:0, 195.3 KiB\n",
        "M /data/grown  content 200000 B -> 200004 B\n",
        "M /data/kind  type file -> link\n",
        "M /data/mode  mode 0644 -> 4750\n",
        "M /data/owner  owner 0:0 -> 1:2\n",
        "- /data/tree/  drwxr-xr-x 0:0, 2 inside, 4 B\n",
        "+ /data/trees/  drwxr-xr-x 0:0, 2 inside, 4 B\n",
        "\n6 added, 5 removed, 11 changed.\n",
    ] {
        assert!(lines.contains(line), "{line}{lines}");
    }
    assert!(
        pool.netbe()
            .ok("-v diff --files nog/b")
            .contains("+ /data/trees/below/file  -rw")
    );
    let back = document(&pool, "diff --files --json nog/b nog/a");
    assert_eq!(
        back["files"].as_array().unwrap().len(),
        all["files"].as_array().unwrap().len()
    );
    before.assert_unchanged(&Fingerprint::of(pool.path()));
}

#[test]
fn environments_without_a_common_origin_are_compared_whole() {
    let pool = Pool::with_template();
    pool.import("other/stock", &System::debian().file("etc/extra", "1"));
    let all = document(&pool, "diff --files --json base other");
    assert_eq!(differs(&all, false), pairs(&[("/etc/extra", "added")]));
    // Nor does it matter that one in between is gone.
    let netbe = pool.netbe();
    netbe.ok("create nog/a --from base");
    netbe.ok("clone nog/a nog/b");
    netbe.ok("clone nog/b nog/c -a");
    fs::write(pool.half("nog/c", "root").join("new"), "1").unwrap();
    for line in [
        "diff --files --json nog/a nog/c",
        "diff --files --json base nog/c",
    ] {
        assert_eq!(
            differs(&document(&pool, line), false),
            pairs(&[("/new", "added")]),
            "{line}"
        );
    }
    netbe.ok("destroy -y nog/b");
    for line in [
        "diff --files --json nog/a nog/c",
        "diff --files --json base nog/c",
    ] {
        assert_eq!(
            differs(&document(&pool, line), false),
            pairs(&[("/new", "added")]),
            "{line}"
        );
    }
}

#[test]
fn deduplicated_files_are_no_difference() {
    let pool = pool(|data| fs::write(data.join("file"), noise(1 << 20, 1)).unwrap());
    fs::write(data(&pool, "nog/b").join("file"), noise(1 << 20, 1)).unwrap();
    let output = pool.netbe().ok("dedupe");
    assert!(output.starts_with("Shared 1 file"), "{output}");
    let all = document(&pool, "diff --files --json nog/b");
    assert_eq!(differs(&all, false), []);
}
