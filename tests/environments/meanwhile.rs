//! The output of a reader while the pool changes: the reader is stopped between two reads,
//! the change is made, and the reader goes on.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Outcome, Pool, run, wait_until};

/// What looks at all there is.
const OF_ALL: [&str; 2] = ["list --json", "status --json"];

/// What looks at the node nog, among others and alone.
const OF_NOG: [&str; 4] = ["list --json", "status --json", "list -H nog", "status nog"];

/// Which of a reader's system calls, done for the how manieth time with a path: after that it is held.
pub(crate) type At<'a> = (&'a str, u8, &'a str);

/// When it has opened a directory, when it has read a part of the names in there, when it has read all.
///
/// A part: the kernel ends a read of names early for a signal that came.
fn names_of(directory: &str) -> [At<'_>; 3] {
    [("openat", 1), ("getdents64", 1), ("getdents64", 2)].map(|(call, nth)| (call, nth, directory))
}

/// Runs a command line that is held until `change` is made.
pub(crate) fn held(
    pool: &Pool,
    line: &str,
    (call, nth, path): At<'_>,
    change: impl FnOnce(),
) -> Outcome {
    let (netbe, beside) = (pool.netbe(), pool.beside());
    let log = beside.join("held");
    let program = netbe.plain();
    let child = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}"), "-o"])
        .arg(&log)
        .args(["-P", path])
        .args(["-e", &format!("inject={call}:signal=SIGSTOP:when={nth}")])
        .arg(program.get_program())
        .args(line.split(' '))
        .env_clear()
        .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    wait_until(&format!("netbe {line} does {call} with {path}"), || {
        let seen = fs::read_to_string(&log).unwrap_or_default();
        let stop = seen.lines().find(|l| l.contains("stopped by SIGSTOP"));
        let stopped = stop.and_then(|l| l.split(' ').next());
        pid = stopped.unwrap_or_default().to_string();
        stopped.is_some()
    });
    change();
    run(Command::new("kill").args(["-CONT", &pid]));
    fs::remove_file(&log).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Fails where a reader shows what was there neither before nor after these commands.
fn show_one_of_two(readers: &[&str], at: &[At<'_>], commands: &[&str]) {
    for &(call, nth, path) in at {
        for line in readers {
            let pool = Pool::with_node();
            let netbe = pool.netbe();
            netbe.ok("create nog/b");
            netbe.ok("create werda/z");
            let before = netbe.run(line);
            let absolute = pool.path().join(path).display().to_string();
            // What is below a node's environments is looked at from there.
            let path = if path.starts_with("nodes") {
                &absolute
            } else {
                path
            };
            let during = held(&pool, line, (call, nth, path), || {
                for command in commands {
                    netbe.ok(command);
                }
            });
            let after = netbe.run(line);
            assert!(
                during == before || during == after,
                "netbe {line}, held at {call} {nth} {path}: {during:#?}\nbefore: {before:#?}\nafter: {after:#?}"
            );
        }
    }
}

#[test]
fn invariant_10_an_environment_that_is_renamed_meanwhile_is_shown() {
    show_one_of_two(
        &OF_NOG,
        &names_of("nodes/nog/envs"),
        &["rename nog/b nog/c"],
    );
}

#[test]
fn invariant_10_the_active_environment_is_shown_that_is_renamed_meanwhile() {
    show_one_of_two(
        &OF_NOG,
        &names_of("nodes/nog/envs"),
        &["rename nog/a nog/c"],
    );
}

#[test]
fn invariant_10_the_active_environment_is_shown_that_takes_the_place_of_one_destroyed() {
    let commands = ["activate nog/b", "destroy -y nog/a"];
    show_one_of_two(&OF_NOG, &names_of("nodes/nog/envs"), &commands);
}

#[test]
fn invariant_10_a_node_that_is_renamed_meanwhile_is_shown() {
    show_one_of_two(&OF_ALL, &names_of("nodes"), &["rename nog ordo"]);
}

#[test]
fn invariant_10_an_environment_destroyed_during_a_list_is_shown_whole_or_not_at_all() {
    let parts = [
        ("statx", 1, "b/root"),
        ("openat2", 1, "b/env.json"),
        ("statx", 1, "b/boot"),
    ];
    show_one_of_two(&OF_NOG, &parts, &["destroy -y nog/b"]);
}

#[test]
fn invariant_10_left_behind_files_are_shown_or_not_if_their_environment_is_destroyed_meanwhile() {
    // No machine can ask for it, so that what was active before may be destroyed at any time.
    let with_one_before = || {
        let pool = Pool::with_node();
        for line in [
            "create solo/a --from nog",
            "create solo/b",
            "activate solo/b",
        ] {
            pool.netbe().ok(line);
        }
        fs::write(pool.half("solo/a", "root").join("etc/own"), "x").unwrap();
        run(Command::new("sync").arg("-f").arg(pool.path()));
        pool
    };
    // At what it is compared with: a directory that is open is in use.
    let opened = |pool: &Pool| pool.half("solo/b", "root").display().to_string();
    let pool = with_one_before();
    let log = pool.beside().join("opened");
    let program = pool.netbe().plain();
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=openat",
            "-P",
            &opened(&pool),
            "-o",
        ])
        .arg(&log);
    run(strace
        .arg(program.get_program())
        .args(["status", "solo"])
        .env_clear()
        .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?)))));
    let calls = fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = calls
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split('(').next())
        .collect();
    let mut destroyed = 0;
    for (i, call) in calls.iter().enumerate() {
        let nth = calls[..=i].iter().filter(|c| *c == call).count();
        let pool = with_one_before();
        let netbe = pool.netbe();
        let before = netbe.run("status solo");
        assert!(before.stdout.contains("/etc"), "{before:#?}");
        let at = (*call, u8::try_from(nth).unwrap(), opened(&pool));
        let during = held(&pool, "status solo", (at.0, at.1, &at.2), || {
            destroyed += usize::from(netbe.run("destroy -y solo/a").status == 0);
        });
        let after = netbe.run("status solo");
        assert!(
            during == before || during == after,
            "held at {at:?}: {during:#?}\nbefore: {before:#?}\nafter: {after:#?}"
        );
    }
    assert!(destroyed > 1, "{destroyed} of {calls:?}");
}
