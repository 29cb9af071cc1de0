//! The kernel failing: each system call of every command that can fail, made to fail, with each reason it can have.
//!
//! Then the command ends with an error that says what and why, and the old state or the new stands; or it has
//! survived what it rightly survives, and the new state stands. Never a panic, never half a thing. Only netbe's
//! own calls, those of a sandbox's stages among them: what the loader does before is the C library's affair.

use std::collections::BTreeSet;

use nix::errno::Errno;

use crate::ground::Ground;
use crate::judge::{Faults, Judge};
use crate::points::{self, Point, Tally};
use crate::report::against;
use crate::support::Outcome;
use crate::tracer::{Break, Call};
use crate::verbs::Verb;

/// How many points of each command the short form tries.
const SHORT: usize = 2;

/// Which calls fail with what. What is not here cannot fail, or not for such a reason.
const REASONS: &[(&str, &[Errno])] = &[
    (
        "open openat openat2",
        &[Errno::EMFILE, Errno::EIO, Errno::EPERM],
    ),
    (
        "mkdir mkdirat symlink symlinkat link linkat rename renameat renameat2 unlink unlinkat rmdir mknodat",
        &[Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EPERM],
    ),
    (
        "write pwrite64 writev copy_file_range sendfile splice ftruncate fallocate",
        &[Errno::ENOSPC, Errno::EIO, Errno::EINTR],
    ),
    (
        "fchmod fchmodat fchmodat2 fchown fchownat lchown utimensat fsetxattr lsetxattr setxattr removexattr ioctl",
        &[Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EPERM],
    ),
    ("fsync fdatasync syncfs", &[Errno::EIO, Errno::ENOSPC]),
    ("read pread64 readv", &[Errno::EIO, Errno::EINTR]),
    (
        "getdents64 readlink readlinkat fstat stat lstat statx newfstatat statfs fstatfs lgetxattr llistxattr lseek",
        &[Errno::EIO],
    ),
    ("flock", &[Errno::EINTR, Errno::EIO]),
    ("fcntl", &[Errno::EMFILE]),
    (
        "pipe2 dup dup2 dup3 socket socketpair eventfd2 epoll_create1 memfd_create",
        &[Errno::EMFILE],
    ),
    ("clone clone3 fork vfork", &[Errno::EAGAIN, Errno::EPERM]),
    (
        "wait4 waitid poll ppoll nanosleep clock_nanosleep recvfrom recvmsg sendto sendmsg",
        &[Errno::EINTR],
    ),
    ("mount umount2 unshare", &[Errno::EPERM]),
];

#[test]
fn invariants_1_to_4_9_and_10_hold_whatever_fails() {
    points::run("failing", SHORT, all, at);
}

/// Returns every point of a command: each of its calls with each reason.
fn all(verb: &Verb, calls: &[Call]) -> Vec<Point> {
    points_of(verb.name, calls)
}

/// Returns every point of a command by its name.
pub(crate) fn points_of(name: &'static str, calls: &[Call]) -> Vec<Point> {
    let mut all = Vec::new();
    let mut loading: BTreeSet<usize> = calls
        .iter()
        .filter(|call| call.what.contains(" /etc/ld.so."))
        .map(|call| call.task)
        .collect();
    for call in calls {
        // The C library's loader is done where Rust's runtime takes a stack for signals.
        if call.what.starts_with("sigaltstack") {
            loading.remove(&call.task);
        }
        if loading.contains(&call.task) {
            continue;
        }
        for errno in reasons(call) {
            all.push(Point::new("failing", name, call, Break::Fail(*errno)));
        }
    }
    all
}

/// Returns the reasons that a call is made to fail for.
fn reasons(call: &Call) -> &'static [Errno] {
    let (name, path) = call.what.split_once(' ').unwrap_or((&call.what, ""));
    if path.starts_with("pipe:") {
        // One's own does not fail; the standard library goes by that.
        return &[Errno::EINTR][..usize::from(["read", "write"].contains(&name))];
    }
    let own = REASONS
        .iter()
        .find(|(names, _)| names.split(' ').any(|one| one == name));
    match own {
        Some((_, reasons)) => reasons,
        None => &[],
    }
}

/// Makes one call fail, and judges what the command says and leaves.
fn at(verb: &Verb, ground: &Ground, judge: &Judge, point: &Point, tally: &Tally) -> Faults {
    let Some((outcome, surroundings)) = point.reach(verb, ground) else {
        tally.missed(point);
        return Faults::new();
    };
    let Break::Fail(errno) = point.how else {
        unreachable!("nothing else is done here")
    };
    let mut faults = judge_ending(&outcome, errno);
    if let Some(what) = missing_from_error(&outcome, errno) {
        faults.push(against(9, format!("its error does not say {what}")));
    }
    faults.extend(surroundings.left());
    if ground.is_unchanged() && !verb.unseen {
        if outcome.status == 0 {
            faults.push(against(9, "it says that it is done, and nothing has been"));
        }
    } else {
        let (found, which) = judge.once("failed", ground, || {
            let (mut found, which) = judge.standing();
            found.extend(judge.repair());
            (found, which)
        });
        faults.extend(found);
        if outcome.status == 0 && which != Some(judge.views().len() - 1) {
            faults.push(against(9, "it says that it is done, and it is not"));
        }
        ground.put_back();
    }
    if !faults.is_empty() {
        faults.push(format!("it said {outcome:#?}"));
    }
    faults
}

/// Judges how a command ends that met with a failure.
pub(crate) fn judge_ending(outcome: &Outcome, errno: Errno) -> Faults {
    let mut faults = Faults::new();
    if outcome.stderr.contains("panicked") || outcome.status < 0 {
        faults.push(against(9, "it did not end by itself"));
    }
    if outcome.status != 0 && errno == Errno::EINTR {
        faults.push(against(9, "it did not survive an interrupted call"));
    }
    let is_error = |line: &str| line.starts_with("error: ");
    // What is wrong can be the answer, as that of `check`.
    if outcome.status != 0
        && !outcome.stderr.lines().any(is_error)
        && !outcome.stdout.contains(&reason(errno))
    {
        faults.push(against(9, "it did not say what failed"));
    }
    faults
}

/// Returns which of where and why an error leaves out, and the error; the person who gets it would have to look further.
pub(crate) fn missing_from_error(outcome: &Outcome, errno: Errno) -> Option<String> {
    let error = outcome
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("error: "))?;
    // A path, a node or environment by its name, a quoted one inside.
    let names = [
        "/",
        "nog",
        "ordo",
        "werda",
        "base",
        "stock",
        "standard output",
        "exportfs",
    ];
    let is_quoted = error
        .split('\'')
        .nth(1)
        .is_some_and(|name| !name.is_empty());
    if !is_quoted && !names.iter().any(|name| error.contains(name)) {
        return Some(format!("where: {error}"));
    }
    // As nix has it, or as the standard library.
    let is_said = error.contains(&reason(errno)) || error.contains(errno.desc());
    (!is_said).then(|| format!("why: {error}"))
}

/// Returns a reason in the words of strerror(3).
fn reason(errno: Errno) -> String {
    let output = std::io::Error::from(errno).to_string();
    output
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_string()
}
