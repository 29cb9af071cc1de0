//! Commands beside a program that runs in an environment: all but those on that environment work.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::support::{Pool, wait_until};
use crate::{debian, environments};

/// A program in the sandbox that marks its begin and ends once it is told to.
const UNTIL_TOLD: &str = "touch /begun; until test -e /go; do sleep 0.05; done";

struct Running {
    child: Child,
    root: PathBuf,
}

impl Running {
    /// Starts netbe with a program that is to wait in `root`.
    fn start(pool: &Pool, arguments: &[&str], root: impl Fn() -> Option<PathBuf>) -> Self {
        #[allow(clippy::zombie_processes, reason = "tell waits for it")]
        let child = pool
            .netbe()
            .plain()
            .args(arguments)
            .args(["--", "sh", "-c", UNTIL_TOLD])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut found = None;
        wait_until("its program runs", || {
            // Not its lock, which it has before netbe gives that of the node back.
            found = root().filter(|r| r.join("begun").exists());
            found.is_some()
        });
        let root = found.expect("it was waited for");
        Self { child, root }
    }

    fn tell(self) -> std::process::Output {
        fs::write(self.root.join("go"), "").unwrap();
        self.child.wait_with_output().unwrap()
    }
}

fn stage(pool: &Pool, name: &str) -> Option<PathBuf> {
    let prefix = format!(".staged-{name}-");
    let entries = fs::read_dir(pool.at("nodes/nog")).unwrap().flatten();
    let mut found = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix));
    found.next().map(|e| e.path().join("root"))
}

#[test]
fn changes_of_a_node_during_its_upgrade_hold() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("set mac= nog");
    netbe.ok("create nog/b");
    let upgrade = Running::start(
        &pool,
        &["upgrade", "--node", "nog", "--name", "next"],
        || stage(&pool, "next"),
    );
    for line in [
        "create nog/c",
        "activate nog/b",
        "rollback nog",
        "activate nog/b",
        "pin nog/c",
        "describe nog/c text",
        "rename nog/c d",
        "status nog",
        "list nog",
        "run nog/d -- true",
        "set cmdline=panic=7 nog",
        "destroy -y nog/first",
        "check",
        "check --repair",
    ] {
        netbe.ok(line);
    }
    for line in [
        "create nog/next --wait 0",
        "rename nog/d next --wait 0",
        "rename nog ordo --wait 0",
        "destroy -y -r nog --wait 0",
    ] {
        let output = netbe.fails(5, line);
        assert!(
            output.contains("nog/next") && output.contains("netbe upgrade"),
            "{output}"
        );
    }
    let ended = upgrade.tell();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(environments(&netbe), ["b", "d", "next"]);
    let line = netbe.ok("list -H nog/next");
    assert!(line.contains("\tnog/first\t"), "{line}");
    // The properties of now, not those of when it began.
    let boot = pool.half("nog/next", "boot").join("pxelinux.cfg/default");
    assert!(fs::read_to_string(boot).unwrap().contains("panic=7"));
    netbe.ok("activate nog/next");
    netbe.ok("check");
}

#[test]
fn two_upgrades_of_a_node_go_on_side_by_side() {
    let pool = debian();
    let begin = |name: &'static str| {
        let arguments = ["upgrade", "--node", "nog", "--name", name];
        Running::start(&pool, &arguments, || stage(&pool, name))
    };
    let (first, second) = (begin("one"), begin("two"));
    for upgrade in [second, first] {
        let ended = upgrade.tell();
        assert!(ended.status.success(), "{ended:?}");
    }
    assert_eq!(environments(&pool.netbe()), ["first", "one", "two"]);
}

#[test]
fn an_environment_in_which_a_program_runs_is_left_alone_and_its_node_goes_on() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("create nog/b");
    let root = pool.half("nog/b", "root");
    let run = Running::start(&pool, &["run", "nog/b"], || Some(root.clone()));
    for line in [
        "activate nog/b",
        "activate --once nog/b",
        "destroy -y nog/b",
        "rename nog/b c",
        "create nog/c --from nog/b",
        "clone nog/b nog/c",
        "upgrade nog/b -- true",
        "run nog/b -- true",
        "export nog/b -o /dev/null",
    ] {
        let (command, rest) = line.split_once(' ').unwrap();
        // A status of run's own is never its program's.
        let status = match command {
            "run" => 125,
            _ => 5,
        };
        let output = netbe.fails(status, &format!("{command} --wait 0 {rest}"));
        assert!(
            output.contains("nog/b is being changed by another netbe"),
            "{line}: {output}"
        );
    }
    for line in [
        "create nog/d",
        "activate nog/d",
        "describe nog/b text",
        "pin nog/b",
    ] {
        netbe.ok(line);
    }
    assert!(run.tell().status.success());
    // What was said of it meanwhile stays said.
    let line = netbe.ok("list -H nog/b");
    assert!(line.ends_with("\ttext\n"), "{line}");
    netbe.ok("unpin nog/b");
    netbe.ok("activate nog/b");
}
