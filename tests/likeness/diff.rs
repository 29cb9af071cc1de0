//! `diff`: files of every kind, how they boot, and what is theirs by nature.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use super::noise;
use super::support::{Fingerprint, Pool, System, run};

/// Returns a pool with nog/a, and nog/b made from it after this was done in `/data` of it.
fn pool(prepare: impl Fn(PathBuf)) -> Pool {
    let pool = Pool::with_node();
    let data = pool.half("nog/a", "root").join("data");
    fs::create_dir(&data).unwrap();
    prepare(data);
    pool.netbe().ok("create nog/b");
    pool
}

fn data(pool: &Pool, environment: &str) -> PathBuf {
    pool.half(environment, "root").join("data")
}

fn document(pool: &Pool, line: &str) -> Value {
    serde_json::from_str(&pool.netbe().ok(line)).unwrap()
}

/// Returns each path that differs, with what differs of it; what is theirs by nature apart.
fn differs(document: &Value, identity: bool) -> Vec<(String, String)> {
    let files = document["files"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    files
        .iter()
        .filter(|f| f["identity"] == identity)
        .map(|f| {
            let aspects: Vec<String> = f["differs"].as_array().unwrap().iter().map(text).collect();
            let what = match aspects.is_empty() {
                true => text(&f["change"]),
                false => aspects.join(" "),
            };
            (text(&f["path"]), what)
        })
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(a, b): &(&str, &str)| ((*a).to_string(), (*b).to_string());
    list.iter().map(pair).collect()
}

#[test]
fn each_kind_of_change_is_told() {
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
fn what_shares_its_space_since_is_no_difference() {
    let pool = pool(|data| fs::write(data.join("file"), noise(1 << 20, 1)).unwrap());
    fs::write(data(&pool, "nog/b").join("file"), noise(1 << 20, 1)).unwrap();
    let said = pool.netbe().ok("dedupe");
    assert!(said.starts_with("Shared the space of 1 file"), "{said}");
    let all = document(&pool, "diff --files --json nog/b");
    assert_eq!(differs(&all, false), []);
}

#[test]
fn identity_is_told_apart_from_difference() {
    let pool = Pool::with_template_of(&System::debian().file("etc/hosts", "127.0.1.1\tbase\n"));
    let netbe = pool.netbe();
    netbe.ok("create nog/a");
    netbe.ok("create ordo/a");
    for node in ["nog", "ordo"] {
        let root = pool.half(&format!("{node}/a"), "root");
        fs::write(root.join("etc/machine-id"), format!("{node}\n")).unwrap();
        fs::create_dir_all(root.join("var/lib/systemd")).unwrap();
        fs::write(root.join("var/lib/systemd/random-seed"), node).unwrap();
    }
    let fstab = pool.half("ordo/a", "root").join("etc/fstab");
    let all = document(&pool, "diff --json nog ordo");
    assert_eq!(differs(&all, false), []);
    let own = differs(&all, true);
    for path in [
        "/etc/hostname",
        "/etc/hosts",
        "/etc/machine-id",
        "/etc/fstab",
        "/var/lib/systemd/random-seed",
    ] {
        assert!(own.iter().any(|(p, _)| p == path), "{path}: {own:?}");
    }
    assert!(own.iter().any(|(p, _)| p.starts_with("/boot/")), "{own:?}");
    for text in all["boot"].as_array().unwrap() {
        assert_eq!(text["differs"], false, "{text}");
        assert_eq!(text["unified"], Value::Null);
    }
    let said = netbe.ok("diff nog ordo");
    for words in [
        "No package differs from nog/a to ordo/a.\n",
        "No boot setting differs from nog/a to ordo/a.\nTheir own by nature:\n",
        "No file differs from nog/a to ordo/a.\nTheir own by nature:\n",
        "envs/a/root",
        "  M /etc/machine-id  content",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }

    // More than that in the same files is a difference, and so is any of it within one node.
    let text = fs::read_to_string(&fstab).unwrap();
    fs::write(&fstab, format!("{text}tmpfs /tmp tmpfs size=1g 0 0\n")).unwrap();
    let hosts = pool.half("ordo/a", "root").join("etc/hosts");
    fs::write(&hosts, "127.0.1.1\tordo\n10.0.0.1\tserver\n").unwrap();
    let all = document(&pool, "diff --json nog ordo");
    let wanted = [("/etc/fstab", "content"), ("/etc/hosts", "content")];
    assert_eq!(differs(&all, false), pairs(&wanted));
    netbe.ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("etc/machine-id"), "other\n").unwrap();
    let all = document(&pool, "diff --json nog/b");
    assert_eq!(
        differs(&all, false),
        pairs(&[("/etc/machine-id", "content")])
    );
}

#[test]
fn how_they_boot_is_unified_text() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    let netbe = pool.netbe();
    netbe.ok("create nog/a");
    netbe.ok("create nog/b");
    assert!(
        netbe
            .ok("diff --boot nog/b")
            .starts_with("No boot setting differs from nog/a to nog/b.\n")
    );
    let boot = pool.half("nog/b", "boot");
    let line = fs::read_to_string(boot.join("cmdline.txt")).unwrap();
    fs::write(
        boot.join("cmdline.txt"),
        format!("{} debug\n", line.trim_end()),
    )
    .unwrap();
    let config = fs::read_to_string(boot.join("config.txt")).unwrap();
    fs::write(
        boot.join("config.txt"),
        format!("{config}\x1b[2Jgpu_mem=16\n"),
    )
    .unwrap();
    let fstab = pool.half("nog/b", "root").join("etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    fs::write(&fstab, format!("{text}tmpfs\t/tmp\ttmpfs\n")).unwrap();
    let said = netbe.ok("diff --boot nog/b");
    for words in [
        "--- nog/a kernel command line (/boot/firmware/cmdline.txt)\n+++ nog/b kernel command line (/boot/firmware/cmdline.txt)\n@@",
        "\n+debug\n",
        "+++ nog/b /boot/firmware/config.txt\n",
        "\n+?[2Jgpu_mem=16\n",
        "+++ nog/b /etc/fstab\n",
        "\n+tmpfs\t/tmp\ttmpfs\n",
        "Their own by nature:\n  - nfsroot=",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let all = document(&pool, "diff --boot --json nog/b");
    assert_eq!(all.get("files"), None);
    let first = &all["boot"][0];
    assert_eq!(
        (&first["what"], &first["differs"]),
        (&json!("cmdline"), &json!(true))
    );
    assert!(first["unified"].as_str().unwrap().contains("\n+debug\n"));
    assert!(
        first["identity"]["before"][1]
            .as_str()
            .unwrap()
            .contains("/nog/envs/a/root")
    );
    // What cannot be compared is said, and hides nothing else.
    fs::write(boot.join("cmdline.txt"), b"\xff\n").unwrap();
    let outcome = netbe.run("diff nog/b");
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    assert!(
        outcome
            .stderr
            .contains("error: reading how nog/b boots: cmdline.txt is not UTF-8"),
        "{outcome:#?}"
    );
    assert!(
        outcome
            .stdout
            .contains("M /boot/firmware/cmdline.txt  content"),
        "{outcome:#?}"
    );
}

#[test]
fn many_files_are_summed_up_where_not_only_they_were_asked_for() {
    let pool = pool(|_| ());
    let b = data(&pool, "nog/b");
    for number in 0..50 {
        fs::write(b.join(format!("{number}")), "1").unwrap();
    }
    let said = pool.netbe().ok("diff nog/b");
    assert!(
        said.contains("BELOW  ADDED  REMOVED  CHANGED\n/data  50     -        -\n"),
        "{said}"
    );
    assert!(
        said.contains("50 added, 0 removed, 0 changed. Each: netbe diff --files nog/a nog/b\n"),
        "{said}"
    );
    assert_eq!(
        pool.netbe()
            .ok("diff --files nog/b")
            .matches("\n+ /data/")
            .count(),
        49
    );
}

#[test]
fn names_disturb_no_terminal_and_lead_nowhere() {
    let pool = pool(|_| ());
    let b = data(&pool, "nog/b");
    let name = OsString::from_vec(b"\x1b[2J\xff\nnew".to_vec());
    fs::write(b.join(name), "1").unwrap();
    symlink("\x1b[2J", b.join("link")).unwrap();
    symlink("/etc", b.join("etc")).unwrap();
    let said = pool.netbe().ok("diff --files nog/b");
    assert!(!said.contains('\x1b'), "{said:?}");
    assert!(said.contains("+ /data/?[2J\u{fffd}?new  "), "{said:?}");
    assert!(
        said.contains("+ /data/etc  lrwxrwxrwx 0:0, -> /etc\n"),
        "{said:?}"
    );
    assert_eq!(
        said.lines().filter(|l| l.starts_with("+ /data/")).count(),
        3
    );
}

#[test]
fn who_is_not_root_sees_what_may_be_seen() {
    let pool = pool(|data| {
        fs::write(data.join("file"), noise(50_000, 1)).unwrap();
        fs::write(data.join("secret"), noise(50_000, 1)).unwrap();
    });
    let b = data(&pool, "nog/b");
    fs::write(b.join("file"), noise(50_000, 2)).unwrap();
    for environment in ["nog/a", "nog/b"] {
        let secret = data(&pool, environment).join("secret");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(b.join("secret"), noise(50_000, 3)).unwrap();
    let program = assert_cmd::cargo::cargo_bin!("netbe");
    let copy = pool.beside().join("netbe");
    super::support::install(program, &copy);
    let as_nobody = |arguments: &[&str]| {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(arguments)
            .env("NETBE_POOL", pool.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (status, out, err) = as_nobody(&["diff", "--files", "nog/b"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("M /data/file  content"), "{out}");
    assert!(!out.contains("secret"), "{out}");
    assert!(
        err.contains("warning: not being root, netbe could not read "),
        "{err}"
    );
    let (status, _, err) = as_nobody(&["dedupe", "-n"]);
    assert_eq!(
        (status, err.contains("hint: run it with sudo")),
        (Some(1), true),
        "{err}"
    );
}

#[test]
fn a_choice_is_one_choice() {
    let pool = Pool::with_node();
    pool.netbe().fails(2, "diff --files --boot nog nog");
    let all = document(&pool, "diff --packages --json nog nog");
    assert_eq!((all.get("files"), all.get("boot")), (None, None));
}
