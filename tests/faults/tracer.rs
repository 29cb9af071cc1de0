//! Stopping a program at one of its system calls, whichever is wanted.
//!
//! What strace's fault injection does, kind by kind and path by path: a call is known by the task that makes it, by
//! what it does to which file, and by how many of the same that task has made before. So it is found again in a run
//! that makes some call more or fewer elsewhere, as with each piece that comes through a pipe. Follows what the program forks as
//! long as that is the same program: what runs in a sandbox, and tools such as exportfs, are not broken.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

use crate::support::Outcome;
use filter::Filter;
use follower::Follower;

mod call;
mod filter;
mod follower;
mod wait;

/// One system call: which of the program's tasks (0 is its first), which of that one's calls, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// The task, by order of birth.
    pub(crate) task: usize,
    /// The call, counted in its task: what it is called by, not what it is found by.
    pub(crate) number: usize,
    /// How many calls of this task were the same as far as `what` tells, this one among them.
    pub(crate) same: usize,
    /// Whether it is a thread of the program itself, and not of something that it has forked.
    pub(crate) own: bool,
    /// Whether the call before it, of the same task, can have changed something.
    pub(crate) is_fresh: bool,
    /// What it is called, and what its arguments lead to, as far as that is a path; what differs in each run left out.
    pub(crate) what: String,
}

impl Call {
    /// Returns the path of what it locks or unlocks, by flock(2) or fcntl(2).
    pub(crate) fn locked(&self) -> Option<&str> {
        let (name, path) = self.what.split_once(' ')?;
        ["flock", call::SETLK].contains(&name).then_some(path)
    }

    /// Returns whether it is the same call of another run.
    fn is(&self, other: &Self) -> bool {
        (self.task, self.same, &self.what) == (other.task, other.same, &other.what)
    }
}

/// What happens at a call, in place of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// The program is killed, all its threads.
    Kill,
    /// The task that makes the call is killed, all its threads; the same, where it is the first.
    KillTask,
    /// The call fails.
    Fail(Errno),
}

/// How a traced run went.
#[derive(Debug)]
pub(crate) struct Traced {
    /// How the program ended.
    pub(crate) outcome: Outcome,
    /// The calls it made, where nothing was broken.
    pub(crate) calls: Vec<Call>,
    /// Whether the call that was to be broken was made.
    pub(crate) is_hit: bool,
}

/// Runs a program and breaks one of its calls, one recorded before; without one it only takes note.
///
/// Input is empty; output goes through files, so that whatever survives the program holds nothing up.
pub(crate) fn trace(command: &Command, at: Option<(&Call, Break)>) -> Traced {
    trace_as(Path::new(command.get_program()), command, at)
}

/// As [`trace`], of a program that the command becomes: chroot(8) does.
pub(crate) fn trace_as(program: &Path, command: &Command, at: Option<(&Call, Break)>) -> Traced {
    let mut out = tempfile::tempfile().unwrap();
    let mut err = tempfile::tempfile().unwrap();
    // Only calls that have the name of the one wanted stop; of a recording, and of a call without a name, all.
    let filter = at.and_then(|(call, _)| Filter::of(call));
    let mut own = match filter {
        Some(_) => Command::new(command.get_program()),
        // Waits to be attached to, then becomes the program; `sh` is another program, and not traced.
        None => {
            let mut waits = Command::new("sh");
            waits.args(["-c", "read -r go; exec \"$0\" \"$@\" </dev/null"]);
            waits.arg(command.get_program());
            waits
        }
    };
    own.args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(command.get_current_dir().unwrap_or(Path::new("/")))
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap());
    let stops_at_calls = filter.is_some();
    let main = start(&mut own, filter);
    let mut follower = Follower::new(main, program, at, stops_at_calls);
    follower.follow();
    let mut output = [String::new(), String::new()];
    for (file, text) in [&mut out, &mut err].into_iter().zip(&mut output) {
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let [stdout, stderr] = output;
    Traced {
        outcome: Outcome {
            status: follower.status.unwrap_or(-1),
            stdout,
            stderr,
        },
        calls: follower.calls,
        is_hit: follower.is_hit,
    }
}

/// Starts a program that is followed from its beginning. Its end is waited for as that of a tracee.
#[allow(clippy::zombie_processes)]
fn start(command: &mut Command, filter: Option<Filter>) -> Pid {
    let follow = |pid| {
        ptrace::seize(
            pid,
            Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACESECCOMP
                | Options::PTRACE_O_EXITKILL,
        )
        .unwrap();
    };
    let pid_of = |child: &Child| Pid::from_raw(child.id().cast_signed());
    match filter {
        Some(filter) => pid_of(&filter.start(command.stdin(Stdio::null()), follow)),
        None => {
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            follow(pid_of(&child));
            drop(child.stdin.take());
            pid_of(&child)
        }
    }
}
