//! How two environments boot, and what is each one's own by nature.

use std::fs;

use serde_json::{Value, json};

use super::{differs, document, pairs};
use crate::support::{Pool, System};

#[test]
fn files_of_the_identity_are_not_differences() {
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
    let output = netbe.ok("diff nog ordo");
    for words in [
        "No package differs from nog/a to ordo/a.\n",
        "No boot setting differs from nog/a to ordo/a.\nDifferences of identity:\n",
        "No file differs from nog/a to ordo/a.\nDifferences of identity:\n",
        "envs/a/root",
        "  M /etc/machine-id  content",
    ] {
        assert!(output.contains(words), "{words}\n{output}");
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
    let output = netbe.ok("diff --boot nog/b");
    for words in [
        "--- nog/a kernel command line (/boot/firmware/cmdline.txt)\n+++ nog/b kernel command line (/boot/firmware/cmdline.txt)\n@@",
        "\n+debug\n",
        "+++ nog/b /boot/firmware/config.txt\n",
        "\n+?[2Jgpu_mem=16\n",
        "+++ nog/b /etc/fstab\n",
        "\n+tmpfs\t/tmp\ttmpfs\n",
        "Differences of identity:\n  - nfsroot=",
    ] {
        assert!(output.contains(words), "{words}\n{output}");
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
            .contains("error: reading the boot settings of nog/b: cmdline.txt is not UTF-8"),
        "{outcome:#?}"
    );
    assert!(
        outcome
            .stdout
            .contains("M /boot/firmware/cmdline.txt  content"),
        "{outcome:#?}"
    );
}
