//! Several nodes upgraded side by side.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{debian, processes_with, state};
use crate::support::{Pool, mounts, wait_until};

/// A pool with the nodes nog, ordo, werda and a template.
fn three() -> Pool {
    let pool = debian();
    pool.netbe().ok("create ordo/first --from base");
    pool.netbe().ok("create werda/first --from base");
    pool
}

/// Starts an upgrade of all of them that does not end by itself; returns netbe once all three run.
fn started(pool: &Pool, mark: &str) -> Child {
    let script = format!("echo begun; touch /begun; sleep {mark}; sleep {mark}");
    let child = Command::new(assert_cmd::cargo::cargo_bin!("netbe"))
        .args(["upgrade", "--all", "-j", "3", "--", "sh", "-c", &script])
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("all run", || processes_with(mark).len() == 3);
    child
}

#[test]
fn a_failure_does_not_stop_the_others() {
    let pool = three();
    let script = "test $(hostname) != ordo || { echo no such luck; exit 7; }; touch /new";
    let output = pool.netbe().run_with(&[
        "upgrade",
        "--all",
        "--name",
        "next",
        "-d",
        "all of them",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(output.status, 1, "{output:#?}");
    for line in [
        "nog: begun",
        "nog: created nog/next",
        "werda: created werda/next",
    ] {
        assert!(output.stderr.contains(line), "no {line}: {output:#?}");
    }
    assert!(
        output.stderr.contains("error: upgrading ordo/first"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("hint: less "), "{output:#?}");
    let rows: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1], ["nog", "next", "created"]);
    assert_eq!(rows[2], ["ordo", "-", "failed"]);
    assert!(
        output
            .stdout
            .ends_with("\nTo boot next: netbe activate nog/next werda/next\n"),
        "{output:#?}"
    );
    assert_eq!(pool.names("nog"), ["first", "next"]);
    assert_eq!(pool.names("ordo"), ["first"]);
    assert!(pool.half("werda/next", "root").join("new").exists());
    assert!(pool.netbe().ok("list -H nog/next").contains("all of them"));
    pool.assert_sound();
}

#[test]
fn a_dry_run_goes_on_after_a_refusal_with_the_same_errors() {
    let pool = three();
    fs::remove_file(pool.at("nodes/ordo/active")).unwrap();
    let planned = pool.netbe().run("upgrade -n --all --name next -- true");
    assert!(planned.stdout.contains("werda/next"), "{planned:#?}");
    let done = pool.netbe().run("upgrade --all --name next -- true");
    assert_eq!((planned.status, done.status), (4, 4), "{planned:#?}");
    let of_ordo = |text: &str| -> Vec<String> {
        let lines = text.lines();
        lines
            .filter(|l| l.starts_with("error: ") && l.contains("ordo"))
            .map(str::to_string)
            .collect()
    };
    assert_eq!(of_ordo(&planned.stderr), of_ordo(&done.stderr));
    assert!(!of_ordo(&done.stderr).is_empty(), "{done:#?}");
}

#[test]
fn several_are_named_and_activated() {
    let pool = three();
    let output = pool
        .netbe()
        .ok("upgrade --node nog werda nog --name next -a -- true");
    assert_eq!(output.lines().count(), 3, "{output}");
    assert!(output.contains("boots next"), "{output}");
    assert_eq!(
        (pool.active("nog"), pool.active("werda")),
        ("next".into(), "next".into())
    );
    assert_eq!(pool.active("ordo"), "first");
}

#[test]
fn a_missing_or_damaged_node_does_not_stop_the_others() {
    let pool = three();
    fs::write(pool.of_node("ordo", "node.json"), "{").unwrap();
    let line = "upgrade none ordo nog --name next";
    let planned = pool.netbe().run(&format!("{line} -n"));
    assert_eq!(planned.status, 4, "{planned:#?}");
    assert!(planned.stdout.contains("nog/next"), "{planned:#?}");
    let output = pool.netbe().run(&format!("{line} -- true"));
    assert_eq!(output.status, 4, "{output:#?}");
    assert!(
        output.stderr.contains("error: no node none in "),
        "{output:#?}"
    );
    assert!(output.stderr.contains("error: ordo: "), "{output:#?}");
    assert_eq!(pool.names("nog"), ["first", "next"]);
}

#[test]
fn an_environment_is_named_whole_or_with_its_node() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/other");
    for (line, made, origin) in [
        ("upgrade nog --name u1 -- true", "nog/u1", "nog/first"),
        ("upgrade nog/other --name u2 -- true", "nog/u2", "nog/other"),
        (
            "upgrade --node nog other --name u3 -- true",
            "nog/u3",
            "nog/other",
        ),
    ] {
        let output = netbe.ok(line);
        let want = format!("Created {made}, upgraded from {origin}");
        assert!(output.contains(&want), "{line}: {output}");
    }
    netbe.ok("activate nog");
    assert_eq!(pool.active("nog"), "u3");
    netbe.fails(4, "upgrade --node nog none -- true");
}

#[test]
fn wrong_operands_are_refused_before_the_first_upgrade() {
    let pool = three();
    for line in [
        "upgrade --all --node nog",
        "upgrade --all nog/first",
        "upgrade nog ordo/first",
        "upgrade --node nog nog/first ordo",
        "upgrade --all -j 0",
        "upgrade",
    ] {
        assert_eq!(pool.netbe().run(line).status, 2, "{line}");
    }
    let plan = pool.plans("upgrade --all --name next");
    for node in ["nog", "ordo", "werda"] {
        assert!(plan.contains(&format!("{node}/next")), "{plan}");
    }
    assert!(!plan.contains("base/next"), "{plan}");
    let empty = Pool::with_template();
    empty.refuses(
        3,
        "upgrade --all",
        &["the pool has no node except templates"],
    );
}

#[test]
fn a_stopped_or_killed_upgrade_of_many_leaves_no_stages() {
    let pool = three();
    let (before, mounted) = (state(&pool), mounts());
    for (signal, mark) in [
        (Signal::SIGINT, "616101"),
        (Signal::SIGTERM, "616102"),
        (Signal::SIGKILL, "616103"),
    ] {
        let child = started(&pool, mark);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let status = child.wait_with_output().unwrap().status;
        assert!(!status.success(), "{signal}");
        wait_until("all have ended", || processes_with(mark).is_empty());
        // Killed, it waits for nobody: the others take their stages away by themselves.
        wait_until("no stage is there", || {
            ["nog", "ordo", "werda"].iter().all(|node| {
                let names = fs::read_dir(pool.at(&format!("nodes/{node}"))).unwrap();
                names
                    .flatten()
                    .all(|entry| !entry.file_name().to_string_lossy().starts_with(".staged"))
            })
        });
        before.assert_unchanged(&state(&pool).without(&[
            "nodes/ordo/failed-upgrade.log",
            "nodes/werda/failed-upgrade.log",
        ]));
        assert_eq!(mounts(), mounted);
    }
}
