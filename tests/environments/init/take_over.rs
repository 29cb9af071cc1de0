//! `init --take-over`: a pool that this server knows nothing of is believed only when that is asked for.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{MAC, Netbe, Pool, run};

/// Makes a pool of two nodes whose state directory has gone, as on another server.
fn from_elsewhere() -> Pool {
    let pool = Pool::with_template();
    let netbe = pool.netbe();
    netbe.ok(&format!("create nog/a --mac {MAC}"));
    netbe.ok("create nog/b -d second");
    netbe.ok("pin nog/b");
    netbe.ok("set keep=7");
    for line in [
        ["set", "upgrade.command=apt-get moo", "nog"],
        ["set", "power.cycle=cut it", "nog"],
    ] {
        assert_eq!(netbe.run_with(&line).status, 0);
    }
    fs::remove_dir_all(pool.state()).unwrap();
    for entry in fs::read_dir("/etc/exports.d").unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    pool
}

#[test]
fn invariant_15_a_pool_from_elsewhere_is_believed_only_when_asked() {
    let pool = from_elsewhere();
    for line in [
        "list",
        "status",
        "check",
        "publish",
        "create nog/c",
        "destroy -y nog/b",
        "init",
        "reconcile",
    ] {
        pool.refuses(3, line, &["has not taken over", "--take-over -n"]);
    }
    assert!(!std::path::Path::new("/etc/exports.d/netbe.exports").exists());
    // Not confirmed: standard input is no terminal.
    pool.refuses(3, "init --take-over", &["needs confirmation", "--yes"]);
    let shown = pool.netbe().ok("init --take-over -n");
    for words in [
        "would run as root, upgrade.command of nog: apt-get moo",
        "would use keep=7 of the pool",
        &format!("would use mac={MAC} of nog"),
        "would accept the records of nog: 2 environments",
        "would accept the records of template base: 1 environment\n",
    ] {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    assert_eq!(fs::read_dir("/var/lib/netbe").unwrap().count(), 0);
    let output = pool.netbe().ok("init --take-over --yes");
    assert!(output.starts_with("Took over the pool in "), "{output}");
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert!(pool.netbe().ok("list -H nog/b").ends_with("\tsecond\n"));
    assert!(pool.flags("nog/b").contains('P'));
    assert!(pool.netbe().ok("get keep nog").contains(" 7 "));
    // What is secret stayed on the server it was set on.
    assert!(!pool.netbe().ok("get power.cycle nog").contains("cut it"));
    // Its machines may be running anything of it.
    pool.refuses(3, "destroy -y nog/b", &["nog"]);
    let exports = fs::read_to_string("/etc/exports.d/netbe.exports").unwrap();
    assert!(exports.contains("/nog/envs/a/root"), "{exports}");
    pool.assert_sound();
    let again = pool.netbe().ok("init --take-over --yes");
    assert!(again.contains("is already a pool"), "{again}");
}

#[test]
fn what_would_not_boot_is_told_when_its_names_lead_to_it_again() {
    let pool = from_elsewhere();
    fs::remove_dir_all(pool.half("nog/a", "root").join("usr/lib/modules")).unwrap();
    let said = pool.netbe().run("init --take-over --yes");
    assert_eq!(said.status, 0, "{said:#?}");
    let words = "warning: nog boots nog/a next: nog/a would not boot: ";
    assert!(said.stderr.contains(words), "{said:#?}");
    assert_eq!(
        said.stderr.matches("would not boot").count(),
        1,
        "{said:#?}"
    );
}

#[test]
fn invariant_11_records_of_nodes_are_taken_over_by_their_locks() {
    let pool = from_elsewhere();
    // As a takeover that was interrupted leaves it: a state directory, and no place in it.
    let record = fs::read_to_string(netbe::pool::layout::pool_record(pool.path())).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let state = pool.states().join(record["uuid"].as_str().unwrap());
    let locks = state.join("locks");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join("nog")).unwrap();
    lock.lock().unwrap();
    let said = pool.netbe().fails(5, "init --take-over --yes --wait 0");
    assert!(said.contains("nog is being changed"), "{said}");
    assert!(!state.join("nodes/nog").exists());
    drop(lock);
    pool.netbe().ok("init --take-over --yes");
    assert_eq!(pool.names("nog"), ["a", "b"]);
}

#[test]
fn an_older_netbes_pool_is_brought_along() {
    let pool = from_elsewhere();
    // As it was: no codes, locks and publications on the pool, readable to everybody.
    for env in ["a", "b"] {
        let file = pool.at(&format!("nodes/nog/envs/{env}/env.json"));
        let text = fs::read_to_string(&file).unwrap();
        let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record.as_object_mut().unwrap().remove("code");
        fs::write(&file, record.to_string()).unwrap();
    }
    let top = pool.path();
    fs::create_dir(top.join(".locks")).unwrap();
    fs::create_dir(top.join("publish")).unwrap();
    fs::write(top.join("publish/dnsmasq-script"), "#!/bin/sh\n").unwrap();
    fs::write(
        top.join("nodes/nog/pending.json"),
        r#"{"env":"b","kind":"once"}"#,
    )
    .unwrap();
    fs::write(top.join("nodes/nog/boots.jsonl"), "").unwrap();
    fs::set_permissions(top.join("nodes"), Permissions::from_mode(0o755)).unwrap();
    fs::write(
        "/etc/dnsmasq.d/netbe.conf",
        format!("conf-file={}/publish/dnsmasq.conf\n", top.display()),
    )
    .unwrap();
    pool.netbe().ok("init --take-over --yes");
    for gone in [
        ".locks",
        "publish",
        "nodes/nog/pending.json",
        "nodes/nog/boots.jsonl",
    ] {
        assert!(!top.join(gone).exists(), "{gone}");
    }
    let line = fs::read_to_string("/etc/dnsmasq.d/netbe.conf").unwrap();
    let of_state = format!(
        "conf-file={}/publish/dnsmasq.conf\n",
        pool.state().display()
    );
    assert_eq!(line, of_state);
    assert!(pool.at("publish/dnsmasq.conf").exists());
    let mode = top.join("nodes").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(pool.names("nog"), ["a", "b"]);
    fs::remove_file("/etc/dnsmasq.d/netbe.conf").unwrap();
    pool.netbe().run("publish");
    pool.assert_sound();
}

#[test]
fn invariant_15_a_pool_with_the_record_of_another_is_refused() {
    let pool = Pool::with_node();
    let other = pool.path().join("other");
    let netbe = Netbe::new(&other, pool.beside());
    netbe.ok("init --server 192.0.2.9");
    fs::copy(pool.path().join("pool.json"), other.join("pool.json")).unwrap();
    assert_eq!(netbe.ok("list -H"), "");
    // One that is only a copy of another's directory.
    let copy = pool.path().join("copy");
    run(Command::new("cp").arg("-a").arg(&other).arg(&copy));
    let copied = Netbe::new(&copy, pool.beside());
    let output = copied.fails(3, "list");
    assert!(
        output.contains("its record is that of the pool at"),
        "{output}"
    );
    copied.ok("init --take-over --yes");
    assert_eq!(copied.ok("list -H"), "");
    assert_eq!(fs::read_dir("/var/lib/netbe").unwrap().count(), 3);
}

#[test]
fn invariant_15_no_pool_lies_on_a_filesystem_of_the_servers_own() {
    let pool = Pool::bare(256 << 20);
    // What the state directory lies on stands for `/` and `/etc`, which no test can replace.
    let states = pool.path().join("state");
    let init = |netbe: Netbe| {
        let mut command = netbe.plain();
        command.env("NETBE_STATE", &states).arg("init");
        command.output().unwrap()
    };
    let output = init(pool.netbe());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("is on the filesystem of"), "{words}");
    assert!(words.contains("--file 64G"), "{words}");
    assert!(!states.exists() && !pool.path().join("nodes").exists());
}

#[test]
fn users_of_the_server_cannot_reach_a_pool() {
    let pool = Pool::with_served_node();
    run(Command::new("mount")
        .args(["-o", "remount,suid,dev"])
        .arg(pool.path()));
    fs::set_permissions(pool.at("nodes"), Permissions::from_mode(0o755)).unwrap();
    let output = pool.netbe().run("check");
    for words in [
        "not mounted nosuid,nodev",
        "every user of this server can reach",
    ] {
        assert!(output.stdout.contains(words), "{words}: {output:#?}");
    }
    // The remedy, as printed.
    assert!(
        output
            .stdout
            .contains(&format!("netbe init {}", pool.path().display()))
    );
    pool.netbe().ok("init");
    pool.assert_sound();
    let as_nobody = |line: &str| {
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "sh",
                "-c",
                line,
            ])
            .output()
            .unwrap()
            .status
            .success()
    };
    for path in [
        "nodes/nog/envs/a/root/etc/hostname",
        "nodes/nog/node.json",
        "locks/nog",
    ] {
        let path = pool.at(path);
        assert!(path.exists(), "{}", path.display());
        assert!(
            !as_nobody(&format!("exec <{}", path.display())),
            "{}",
            path.display()
        );
    }
}

#[test]
fn disks_that_an_older_netbe_let_be_waited_for_rest_in_the_next_environment() {
    let pool = from_elsewhere();
    // As it was: netbe's line is there, that of a local disk still counts, and no record says that it rests.
    let fstab = |env: &str| pool.half(env, "root").join("etc/fstab");
    let home = "UUID=6b1a4c0e-52d7-4f0c-9f37-0d6e1a5b7c12 /home ext4 defaults 0 2\n";
    for env in ["a", "b"] {
        let file = pool.at(&format!("nodes/nog/envs/{env}/env.json"));
        let mut record: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        record.as_object_mut().unwrap().remove("rested").unwrap();
        fs::write(&file, record.to_string()).unwrap();
        let fstab = fstab(&format!("nog/{env}"));
        let text = fs::read_to_string(&fstab).unwrap();
        fs::write(&fstab, text + home).unwrap();
    }
    let netbe = pool.netbe();
    netbe.ok("init --take-over --yes");
    let made = netbe.run("create nog/next --from nog/b");
    assert_eq!(made.status, 0, "{made:#?}");
    assert!(made.stderr.contains("/home is not mounted"), "{made:#?}");
    let text = fs::read_to_string(fstab("nog/next")).unwrap();
    assert!(text.contains(&format!("#netbe# {home}")), "{text}");
    // After that it is the node's own choice.
    fs::write(
        fstab("nog/next"),
        text.replace(
            "#netbe# UUID=6b1a4c0e-52d7-4f0c-9f37-0d6e1a5b7c12",
            "UUID=6b1a4c0e-52d7-4f0c-9f37-0d6e1a5b7c12",
        ),
    )
    .unwrap();
    netbe.ok("create nog/later --from nog/next");
    let text = fs::read_to_string(fstab("nog/later")).unwrap();
    assert!(text.lines().any(|line| line == home.trim_end()), "{text}");
}
