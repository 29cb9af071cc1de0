//! A command killed at any point leaves the old state or the new.
//!
//! Each is killed at moments spread over the time it takes. What a power cut would leave is not shown here: a
//! killed process loses nothing that it wrote.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use super::support::{Pool, System, TFTP_NAME};

/// How often each command is killed, at moments of even distance.
const MOMENTS: u32 = 16;

/// Returns what scripts go by: every environment with its flags and its description.
fn view(pool: &Pool) -> Vec<String> {
    let text = pool.netbe().ok("list -H");
    let rows = text.lines().map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        format!("{}/{} {} {}", fields[0], fields[1], fields[2], fields[8])
    });
    rows.collect()
}

/// Kills `line` at many moments; after each there is the old state or the new, whole, and repair leaves it sound.
///
/// `undo` leads back from the new to the old.
fn is_old_or_new(pool: &Pool, line: &str, undo: &str) {
    let start = Instant::now();
    let views = Views::of(pool, line, undo);
    let duration = start.elapsed() / 2;
    let mut ends = [0, 0];
    for moment in 0..MOMENTS {
        let mut running = pool.netbe().spawn(line, Stdio::null());
        sleep(duration * moment / MOMENTS);
        // Perhaps it has ended by itself: that is a moment too.
        let _ = running.kill();
        running.wait().unwrap();
        ends[views.look(pool, &format!("{line}, moment {moment}"), undo)] += 1;
    }
    assert!(ends[0] > 0, "{line} was never killed in time");
    assert_eq!(
        pool.subvolumes().len(),
        2 * views.old.len(),
        "{:?}",
        pool.subvolumes()
    );
    if std::env::var_os("NETBE_TEST_EVERY_CALL").is_some() {
        at_every_call(pool, &views, line, undo);
    }
}

/// Kills `line` before each of the system calls by which it changes something; takes minutes, and strace.
fn at_every_call(pool: &Pool, views: &Views, line: &str, undo: &str) {
    let mut killed = 0;
    // One by one: strace counts each kind of call by itself.
    for call in CALLS.split_whitespace() {
        for number in 1.. {
            let ended = std::process::Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e"])
                .arg(format!("trace={call}"))
                .arg("-e")
                .arg(format!("inject={call}:signal=KILL:when={number}"))
                .arg(pool.netbe().plain().get_program())
                .args(line.split_whitespace())
                .env("NETBE_POOL", pool.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            views.look(pool, &format!("{line}, {call} number {number}"), undo);
            if ended.status.success() {
                break;
            }
            killed += 1;
        }
    }
    eprintln!("{line}: killed before each of {killed} calls");
}

/// The system calls by which something is changed; of opening, the write that follows is as good.
const CALLS: &str = "rename renameat renameat2 symlink symlinkat link linkat mkdir mkdirat unlink unlinkat rmdir \
    ioctl write pwrite64 ftruncate fchmod fchmodat fchown fchownat utimensat fsync fdatasync syncfs flock \
    copy_file_range fsetxattr setxattr mount clone clone3 vfork";

/// What there is before a command, and after it.
struct Views {
    old: Vec<String>,
    new: Vec<String>,
}

impl Views {
    /// Runs a command and what undoes it.
    fn of(pool: &Pool, line: &str, undo: &str) -> Self {
        let old = view(pool);
        pool.netbe().ok(line);
        let new = view(pool);
        pool.netbe().ok(undo);
        assert_eq!(view(pool), old, "{undo} does not undo {line}");
        Self { old, new }
    }

    /// Shows that there is one of the two, and that it can be repaired; undoes the new, and returns 1 for it.
    fn look(&self, pool: &Pool, when: &str, undo: &str) -> usize {
        let found = view(pool);
        assert!(found == self.old || found == self.new, "{when}: {found:?}");
        let served = pool.at(&format!("tftp/{TFTP_NAME}"));
        if served.symlink_metadata().is_ok() {
            assert!(served.exists(), "{when}: a name leads to nothing");
        }
        let repaired = pool.netbe().run("check --repair");
        assert_eq!(repaired.status, 0, "{when}: {repaired:#?}");
        pool.assert_sound();
        assert_eq!(view(pool), found, "{when}: repair changed it");
        if found != self.new || self.new == self.old {
            return 0;
        }
        pool.netbe().ok(undo);
        1
    }
}

#[test]
fn p1_invariant_9_create() {
    let pool = Pool::with_node();
    is_old_or_new(&pool, "create nog/b", "destroy -y nog/b");
}

#[test]
fn p1_invariant_9_create_of_a_node() {
    let pool = Pool::with_template();
    is_old_or_new(&pool, "create ordo/x", "destroy -y -r ordo");
}

#[test]
fn p1_invariant_9_import() {
    let pool = Pool::with_node();
    let system = pool.beside().join("system");
    System::debian().build(&system);
    is_old_or_new(
        &pool,
        &format!("import nog/b {}", system.display()),
        "destroy -y nog/b",
    );
}

#[test]
fn p2_invariant_9_activate() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("activate nog/a");
    is_old_or_new(&pool, "activate nog/b", "activate nog/a");
}

#[test]
fn p2_invariant_9_rollback() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    is_old_or_new(&pool, "rollback nog", "activate nog/b");
}

#[test]
fn p3_invariant_9_destroy() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    is_old_or_new(&pool, "destroy -y nog/b", "create nog/b");
}

#[test]
fn p3_invariant_9_destroy_of_a_node() {
    let pool = Pool::with_template();
    pool.netbe().ok("create ordo/x");
    is_old_or_new(&pool, "destroy -y -r ordo", "create ordo/x");
}

#[test]
fn invariant_9_rename() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    is_old_or_new(&pool, "rename nog/b c", "rename nog/c b");
}

#[test]
fn invariant_9_rename_of_what_is_active() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    is_old_or_new(&pool, "rename nog/a c", "rename nog/c a");
}

#[test]
fn invariant_9_rename_of_a_node() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    is_old_or_new(&pool, "rename nog ordo", "rename ordo nog");
}

#[test]
fn invariant_9_set() {
    let pool = Pool::with_node();
    is_old_or_new(&pool, "set mac=dc:a6:32:01:02:03 nog", "set mac= nog");
}

#[test]
fn invariant_9_describe() {
    let pool = Pool::with_node();
    is_old_or_new(&pool, "describe nog/a new", "describe nog/a -");
}

#[test]
fn invariant_9_once() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    // That it was led to once stays known of it.
    pool.netbe().ok("activate --once nog/b");
    pool.netbe().ok("activate --cancel nog");
    is_old_or_new(&pool, "activate --once nog/b", "activate --cancel nog");
}

#[test]
fn invariant_9_trial() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --try nog/b");
    pool.netbe().ok("activate --cancel nog");
    is_old_or_new(&pool, "activate --try nog/b", "activate --cancel nog");
}

#[test]
fn invariant_9_cancel() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --once nog/b");
    is_old_or_new(&pool, "activate --cancel nog", "activate --once nog/b");
}
