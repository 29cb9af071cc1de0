//! Another node's system for nodes that exist, with what they have changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{MAC, Pool};

const KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// Returns a pool with `nog` and `ordo`, which have changed what each has of its own, and a newer system in their template.
fn pool() -> Pool {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok("create ordo/a --mac 02:00:00:00:00:09");
    pool.netbe().ok("create base/newer --from base");
    fs::write(at(&pool, "base/newer", "etc/motd"), "newer\n").unwrap();
    pool.netbe().ok("activate base/newer");
    for node in ["nog", "ordo"] {
        let env = format!("{node}/a");
        fs::write(at(&pool, &env, "etc/local.conf"), format!("{node}s\n")).unwrap();
        fs::write(at(&pool, &env, "etc/machine-id"), "0f".repeat(16) + "\n").unwrap();
        let hosts = at(&pool, &env, "etc/hosts");
        let text = fs::read_to_string(&hosts).unwrap() + "10.0.0.9 printer\n";
        fs::write(hosts, text).unwrap();
    }
    pool
}

fn at(pool: &Pool, environment: &str, path: &str) -> PathBuf {
    pool.half(environment, "root").join(path)
}

fn text(pool: &Pool, environment: &str, path: &str) -> String {
    fs::read_to_string(at(pool, environment, path)).unwrap()
}

#[test]
fn nodes_keep_their_changes_in_a_new_system() {
    let pool = pool();
    let planned = pool.plans("create nog/b --from base --merge -a");
    for step in ["merge into nog/b what nog/a has changed", "activate nog/b"] {
        assert!(planned.contains(step), "{step}: {planned}");
    }
    let output = pool
        .netbe()
        .run("create nog/b ordo/b --from base --merge -a");
    assert_eq!(output.status, 0, "{output:#?}");
    for node in ["nog", "ordo"] {
        let new = format!("{node}/b");
        assert_eq!(pool.names(node), ["a", "b"]);
        assert_eq!(pool.active(node), "b");
        assert_eq!(text(&pool, &new, "etc/motd"), "newer\n");
        assert_eq!(text(&pool, &new, "etc/local.conf"), format!("{node}s\n"));
        let hosts = text(&pool, &new, "etc/hosts");
        assert!(hosts.contains("printer") && hosts.contains(node), "{hosts}");
        for path in [KEY, "etc/machine-id", "etc/hostname"] {
            assert_eq!(
                text(&pool, &new, path),
                text(&pool, &format!("{node}/a"), path),
                "{path}"
            );
        }
    }
    let told = output
        .stderr
        .matches("an unknown tool made the initramfs")
        .count();
    assert_eq!(told, 2, "{output:#?}");
    let status = pool.netbe().run("status");
    assert!(!status.stderr.contains("behind"), "{status:#?}");
    pool.assert_sound();
}

#[test]
fn an_environment_with_conflicts_is_not_activated() {
    let pool = pool();
    fs::write(at(&pool, "nog/a", "etc/motd"), "mine\n").unwrap();
    let one = pool.netbe().run("create nog/b --from base --merge --try");
    assert_eq!(one.status, 1, "{one:#?}");
    assert!(one.stdout.contains("C /etc/motd"), "{one:#?}");
    assert!(
        one.stdout
            .contains("Both changed 1 file: look there, then: netbe activate nog/b")
    );
    assert_eq!(text(&pool, "nog/b", "etc/motd"), "newer\n");
    assert_eq!(text(&pool, "nog/b", "etc/motd.netbe-a"), "mine\n");
    assert_eq!(
        (pool.active("nog"), pool.names("nog").len()),
        ("a".into(), 2)
    );
    let output = pool.netbe().ok("status nog");
    assert!(
        output.contains(
            "nog/b has it, with files that both changed: look at them, then netbe activate --try nog/b: \
             netbe diff --files base/newer nog/b"
        ),
        "{output}"
    );
    let shown = pool.netbe().run("diff --files base/newer nog/b");
    assert!(shown.stdout.contains("/etc/motd.netbe-a"), "{shown:#?}");
    let many = pool
        .netbe()
        .run("create nog/c ordo/c --from base --merge -a");
    assert_eq!(many.status, 1, "{many:#?}");
    assert!(many.stdout.contains("both changed files"), "{many:#?}");
    assert!(
        many.stderr
            .contains("note: /etc/motd: changed in both; nog/a's is /etc/motd.netbe-a"),
        "{many:#?}"
    );
    assert_eq!(
        (pool.active("nog"), pool.active("ordo")),
        ("a".into(), "c".into())
    );
    pool.assert_sound();
}

#[test]
fn a_merged_environment_that_would_not_boot_is_not_activated() {
    let pool = pool();
    fs::remove_dir_all(at(&pool, "nog/a", "usr/lib/modules")).unwrap();
    for how in ["-a", "--try"] {
        let output = pool
            .netbe()
            .run(&format!("create nog/b --from base --merge {how}"));
        assert_eq!(output.status, 3, "{output:#?}");
        assert!(output.stderr.contains("no modules for it"), "{output:#?}");
        assert_eq!(pool.names("nog"), ["a"], "{output:#?}");
    }
    pool.netbe().run("create nog/b --from base --merge");
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert_eq!(pool.active("nog"), "a");
}

#[test]
fn a_node_without_changes_gets_the_system_alone() {
    let pool = pool();
    pool.netbe().ok("create werda/a --from base/stock");
    let output = pool.netbe().ok("create werda/b --from base --merge");
    assert!(
        output.contains("Created werda/b from base/newer, with 0 changes from werda/a."),
        "{output}"
    );
    assert_eq!(pool.names("werda"), ["a", "b"]);
    pool.refuses(
        3,
        "create new --from base --merge",
        &["new does not exist yet", "leave out --merge"],
    );
    pool.refuses(2, "create werda/c --from werda/b --merge", &["werda's own"]);
    pool.refuses(2, "create werda/c --merge", &["--from"]);
    pool.assert_sound();
}

#[test]
fn packages_that_a_node_added_are_installed_where_that_is_asked_for() {
    let pool = pool();
    let apt = at(&pool, "base/newer", "usr/bin/apt-get");
    fs::write(&apt, "#!/bin/sh\necho \"$*\" >>/var/lib/calls\n").unwrap();
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).unwrap();
    let add = |env: &str, package: &str| {
        let status = at(&pool, env, "var/lib/dpkg/status");
        let text = fs::read_to_string(&status).unwrap();
        let stanza = format!(
            "Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
        );
        fs::write(&status, text + &stanza).unwrap();
    };
    add("nog/a", "hello");
    let planned = pool.plans("create nog/b --from base --merge --packages");
    assert!(planned.contains("packages that nog has added"), "{planned}");
    let output = pool
        .netbe()
        .run("create nog/b --from base --merge --packages -a");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("installed as in nog/a: hello"),
        "{output:#?}"
    );
    let calls = |env: &str| text(&pool, env, "var/lib/calls");
    assert!(calls("nog/b").contains("hello"), "{}", calls("nog/b"));
    pool.netbe().ok("create nog/c");
    add("nog/b", "world");
    let planned = pool.plans("activate nog/c --merge --packages");
    assert!(planned.contains("apt-get"), "{planned}");
    pool.netbe().ok("activate nog/c --merge --packages");
    let active = format!("nog/{}", pool.active("nog"));
    assert!(calls(&active).contains("world"), "{}", calls(&active));
    pool.assert_sound();
}
