//! What a reader shows of what is changed while it reads: it is held between one look at a directory and the next,
//! the change is made, and it goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::support::{Outcome, Pool, run};

/// What looks at all there is.
const OF_ALL: [&str; 3] = ["list --json", "list -H", "status --json"];

/// What looks at one node.
const OF_NOG: [&str; 2] = ["list -H nog", "status nog"];

/// Where it is held: when it has opened the directory, when it has read a part of the names, when it has read all.
///
/// A part: the kernel ends a read of names early for a signal that came.
const AT: [(&str, u8); 3] = [("openat", 1), ("getdents64", 1), ("getdents64", 2)];

/// Runs a command line; where it does `call` with a directory for the `nth` time, it is held until `change` is made.
fn held(
    pool: &Pool,
    line: &str,
    reads: &Path,
    (call, nth): (&str, u8),
    change: impl FnOnce(),
) -> Outcome {
    let (netbe, beside) = (pool.netbe(), pool.beside());
    let log = beside.join("held");
    let program = netbe.plain();
    let child = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}"), "-o"])
        .arg(&log)
        .arg("-P")
        .arg(reads)
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
    let end = Instant::now() + Duration::from_secs(60);
    let pid = loop {
        let seen = fs::read_to_string(&log).unwrap_or_default();
        let stop = seen.lines().find(|l| l.contains("stopped by SIGSTOP"));
        if let Some(pid) = stop.and_then(|l| l.split(' ').next()) {
            break pid.to_string();
        }
        assert!(
            Instant::now() < end,
            "netbe {line} never read {}:\n{seen}",
            reads.display()
        );
        thread::sleep(Duration::from_millis(5));
    };
    change();
    run(Command::new("kill").args(["-CONT", &pid]));
    fs::remove_file(&log).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Fails where a reader shows what was there neither before nor after these commands.
fn show_one_of_two(readers: &[&str], reads: &str, commands: &[&str]) {
    for at in AT {
        for line in readers {
            let pool = Pool::with_node();
            let netbe = pool.netbe();
            netbe.ok("create nog/b");
            netbe.ok("create werda/z");
            let before = netbe.run(line);
            let during = held(&pool, line, &pool.path().join(reads), at, || {
                for command in commands {
                    netbe.ok(command);
                }
            });
            let after = netbe.run(line);
            assert!(
                during == before || during == after,
                "netbe {line}, held at {at:?} of {reads}: {during:#?}\nbefore: {before:#?}\nafter: {after:#?}"
            );
        }
    }
}

#[test]
fn invariant_10_an_environment_that_is_renamed_meanwhile_is_shown() {
    show_one_of_two(
        &[&OF_ALL[..], &OF_NOG].concat(),
        "nodes/nog/envs",
        &["rename nog/b nog/c"],
    );
}

#[test]
fn invariant_10_the_active_environment_is_shown_that_is_renamed_meanwhile() {
    show_one_of_two(
        &[&OF_ALL[..], &OF_NOG].concat(),
        "nodes/nog/envs",
        &["rename nog/a nog/c"],
    );
}

#[test]
fn invariant_10_the_active_environment_is_shown_that_takes_the_place_of_one_destroyed() {
    show_one_of_two(
        &[&OF_ALL[..], &OF_NOG].concat(),
        "nodes/nog/envs",
        &["activate nog/b", "destroy -y nog/a"],
    );
}

#[test]
fn invariant_10_a_node_that_is_renamed_meanwhile_is_shown() {
    show_one_of_two(&OF_ALL, "nodes", &["rename nog ordo"]);
}
