//! Stopping a program at one of its system calls, whichever is wanted.
//!
//! What strace's fault injection does, kind by kind and path by path: a call is known by the task that makes it, by
//! what it does to which file, and by how many of the same that task has made before. So it is found again in a run
//! that makes some call more or fewer elsewhere, as with each piece that comes through a pipe. Follows what the program forks as
//! long as that is the same program: what runs in a sandbox, and tools such as exportfs, go on untraced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::Outcome;
use filter::Filter;

mod call;
mod filter;

/// How long what a killed program had started may go on before it is left alone, for others to find.
const PATIENCE: Duration = Duration::from_secs(3);

/// The names of the calls by which something is changed, or somebody else may: the short form takes its points from them.
const CHANGING: &str = "rename renameat renameat2 symlink symlinkat link linkat mkdir mkdirat unlink unlinkat rmdir \
    ioctl write pwrite64 ftruncate fchmod fchmodat fchown fchownat utimensat fsync fdatasync syncfs flock \
    copy_file_range fsetxattr setxattr mount umount2 clone clone3 vfork wait4 execve unshare pivot_root";

/// The names of the calls by which only memory is asked for: how often, what is read of all processes decides, and so
/// are they not counted either.
const MEMORY: &str = "mmap munmap mremap brk madvise";

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
    let mut tracer = Tracer {
        main,
        program: program.to_path_buf(),
        is_begun: false,
        at,
        stops_at_calls,
        others: BTreeSet::new(),
        early: BTreeSet::new(),
        tasks: BTreeMap::new(),
        born: 0,
        calls: Vec::new(),
        is_hit: false,
        status: None,
    };
    tracer.follow();
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
            status: tracer.status.unwrap_or(-1),
            stdout,
            stderr,
        },
        calls: tracer.calls,
        is_hit: tracer.is_hit,
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

/// A task that is followed.
#[derive(Debug, Default)]
struct Task {
    ordinal: usize,
    own: bool,
    made: usize,
    /// How many of each it has made.
    of_each: BTreeMap<String, usize>,
    /// The last call can have changed something.
    has_changed: bool,
    /// The call it is in is to fail on its way out.
    failing: Option<Errno>,
}

struct Tracer<'a> {
    main: Pid,
    program: PathBuf,
    /// Whether the command has become the program.
    is_begun: bool,
    at: Option<(&'a Call, Break)>,
    /// Whether it stops only at calls of one name, by a filter.
    stops_at_calls: bool,
    /// Other programs that it has started: without somebody who follows them, the calls that the filter stops would fail.
    others: BTreeSet<i32>,
    /// Tasks that have stopped before their parents told of them.
    early: BTreeSet<i32>,
    tasks: BTreeMap<i32, Task>,
    born: usize,
    calls: Vec<Call>,
    is_hit: bool,
    status: Option<i32>,
}

impl Tracer<'_> {
    /// Lets all tasks run until none is left, or what remains has been given time enough.
    fn follow(&mut self) {
        let mut deadline = None;
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let flags = if deadline.is_some() {
                flags | WaitPidFlag::WNOHANG
            } else {
                flags
            };
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) => {
                    if deadline.is_some_and(|end| Instant::now() > end) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(WaitStatus::Exited(pid, status)) => self.ended(pid, status),
                Ok(WaitStatus::Signaled(pid, ..)) => self.ended(pid, -1),
                Ok(stopped) => self.stopped(stopped),
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => {}
                Err(e) => panic!("waiting: {e}"),
            }
            if self.status.is_some() && deadline.is_none() {
                deadline = Some(Instant::now() + PATIENCE);
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        self.tasks.remove(&pid.as_raw());
        self.others.remove(&pid.as_raw());
        if pid == self.main {
            self.status = Some(status);
        }
    }

    /// Deals with one stop and lets the task go on. A task may be gone at any moment: killed.
    fn stopped(&mut self, status: WaitStatus) {
        let Some(pid) = status.pid() else { return };
        let mut signal = None;
        match status {
            WaitStatus::PtraceSyscall(pid) => self.at_call(pid),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_SECCOMP) if self.is_own(pid) => {
                self.at_call(pid);
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_SECCOMP) => {}
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                let now = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                // By the file, not by its name: a stage has another root.
                if now.file_name() == self.program.file_name() {
                    self.is_begun = true;
                } else if !self.is_begun {
                    let _ = ptrace::cont(pid, None);
                    return;
                } else {
                    self.tasks.remove(&pid.as_raw());
                    if self.stops_at_calls {
                        self.others.insert(pid.as_raw());
                        let _ = ptrace::cont(pid, None);
                    } else {
                        let _ = ptrace::detach(pid, None);
                    }
                    return;
                }
                self.others.remove(&pid.as_raw());
                self.task(pid);
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) if self.is_early(pid) => {
                self.early.insert(pid.as_raw());
                return;
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) => {}
            WaitStatus::PtraceEvent(..) => {
                if let Ok(new) = ptrace::getevent(pid) {
                    self.born(pid, Pid::from_raw(i32::try_from(new).unwrap_or_default()));
                }
            }
            WaitStatus::Stopped(_, sent) => signal = Some(sent),
            _ => {}
        }
        if self.stops_at_calls {
            let _ = ptrace::cont(pid, signal);
            return;
        }
        if self.has_failed() {
            // Nothing more is wanted of it but how it ends.
            let _ = ptrace::detach(pid, signal);
            return;
        }
        let _ = ptrace::syscall(pid, signal);
    }

    /// Takes note of a task that another has made.
    fn born(&mut self, of: Pid, new: Pid) {
        if self.others.contains(&of.as_raw()) {
            self.others.insert(new.as_raw());
        } else {
            self.task(new);
        }
        if self.early.remove(&new.as_raw()) {
            let _ = ptrace::cont(new, None);
        }
    }

    /// Returns whether a task is one of the program.
    fn is_own(&self, pid: Pid) -> bool {
        self.is_begun && self.tasks.contains_key(&pid.as_raw())
    }

    /// Returns whether a task has stopped before its parent told of it.
    fn is_early(&self, pid: Pid) -> bool {
        let raw = pid.as_raw();
        let is_known = self.tasks.contains_key(&raw) || self.others.contains(&raw);
        self.stops_at_calls && pid != self.main && !is_known
    }

    /// Returns whether the call that was to fail has.
    fn has_failed(&self) -> bool {
        matches!(self.at, Some((_, Break::Fail(_))))
            && self.is_hit
            && self.tasks.values().all(|task| task.failing.is_none())
    }

    fn task(&mut self, pid: Pid) -> &mut Task {
        let (born, main) = (&mut self.born, self.main);
        self.tasks.entry(pid.as_raw()).or_insert_with(|| {
            *born += 1;
            Task {
                ordinal: *born - 1,
                own: Path::new(&format!("/proc/{main}/task/{pid}")).exists(),
                ..Task::default()
            }
        })
    }

    fn at_call(&mut self, pid: Pid) {
        let Ok(info) = ptrace::syscall_info(pid) else {
            return;
        };
        if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
            if let Some(errno) = self.task(pid).failing.take() {
                call::answer(pid, errno);
            }
            return;
        }
        let is_before = [
            libc::PTRACE_SYSCALL_INFO_ENTRY,
            libc::PTRACE_SYSCALL_INFO_SECCOMP,
        ];
        if !is_before.contains(&info.op) || self.status.is_some() {
            return;
        }
        if self.is_hit {
            return;
        }
        self.task(pid);
        let what = call::describe(pid);
        let (name, path) = what.split_once(' ').unwrap_or((&what, ""));
        if MEMORY.split(' ').any(|one| one == name) {
            return;
        }
        let is_of_a_process = call::is_of_a_process(path);
        let is_change = CHANGING.split_whitespace().any(|one| one == name) || call::may_create(pid);
        let what = call::lasting(&what);
        let task = self.task(pid);
        let same = task.of_each.entry(what.clone()).or_default();
        *same += 1;
        if is_of_a_process && *same > 1 {
            // netbe looks through all there are, each time others: of each kind the first.
            return;
        }
        task.made += 1;
        let call = Call {
            task: task.ordinal,
            number: task.made,
            same: *same,
            own: task.own,
            is_fresh: std::mem::replace(&mut task.has_changed, is_change),
            what,
        };
        if let Some((_, how)) = self.at.filter(|(at, _)| at.is(&call)) {
            self.is_hit = true;
            match how {
                Break::Kill => drop(kill(self.main, Signal::SIGKILL)),
                Break::KillTask => drop(kill(pid, Signal::SIGKILL)),
                Break::Fail(errno) if self.stops_at_calls => call::fail(pid, errno),
                Break::Fail(errno) => {
                    call::skip(pid);
                    self.task(pid).failing = Some(errno);
                }
            }
        }
        self.calls.push(call);
    }
}
