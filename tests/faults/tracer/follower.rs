//! Following a program and all that it starts, from stop to stop, and breaking one of its calls.
//!
//! Stops at each call or, by a filter, only at those of one name. Other programs that it starts are followed only where the
//! filter stops them, and never broken. Not for what a call is: `call`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::{self, Happened, Onward};
use super::{Break, Call, call};

/// How long what a killed program had started may go on before it is left alone, for others to find.
const PATIENCE: Duration = Duration::from_secs(3);

/// The names of the calls by which something is changed, or somebody else may: the short form takes its points from them.
const CHANGING: &str = "rename renameat renameat2 symlink symlinkat link linkat mkdir mkdirat unlink unlinkat rmdir \
    ioctl write pwrite64 ftruncate fchmod fchmodat fchown fchownat utimensat fsync fdatasync syncfs flock \
    copy_file_range fsetxattr setxattr mount umount2 clone clone3 vfork wait4 execve unshare pivot_root";

/// The names of the calls by which only memory is asked for: how often, what is read of all processes decides, and so
/// are they not counted either.
const MEMORY: &str = "mmap munmap mremap brk madvise";

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

/// Who follows a program and all that it starts, and breaks one of its calls.
pub(super) struct Follower<'a> {
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
    pub(super) calls: Vec<Call>,
    pub(super) is_hit: bool,
    pub(super) status: Option<i32>,
}

impl<'a> Follower<'a> {
    /// Makes one for a program that the task `main` is, or becomes.
    pub(super) fn new(
        main: Pid,
        program: &Path,
        at: Option<(&'a Call, Break)>,
        stops_at_calls: bool,
    ) -> Self {
        Self {
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
        }
    }
}

impl Follower<'_> {
    /// Lets all tasks run until none is left, or what remains has been given time enough.
    pub(super) fn follow(&mut self) {
        let mut deadline = None;
        loop {
            match wait::wait(deadline.is_some()) {
                Ok(Happened::Nothing) => {
                    if deadline.is_some_and(|end| Instant::now() > end) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(Happened::Ended(pid, status)) => self.ended(pid, status),
                Ok(Happened::AtCall(pid)) => {
                    self.at_call(pid);
                    self.goes_on(pid, 0);
                }
                Ok(Happened::At(pid, event)) => self.at_event(pid, event),
                Ok(Happened::Signalled(pid, signal)) => self.goes_on(pid, signal),
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

    /// Deals with one event and lets the task go on. A task may be gone at any moment: killed.
    fn at_event(&mut self, pid: Pid, event: c_int) {
        match event {
            libc::PTRACE_EVENT_SECCOMP if self.is_own(pid) => self.at_call(pid),
            libc::PTRACE_EVENT_SECCOMP => {}
            libc::PTRACE_EVENT_EXEC => {
                let now = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                // By the file, not by its name: a stage has another root.
                if now.file_name() == self.program.file_name() {
                    self.is_begun = true;
                } else if !self.is_begun {
                    wait::go_on(pid, Onward::ToEvent, 0);
                    return;
                } else {
                    self.tasks.remove(&pid.as_raw());
                    if self.stops_at_calls {
                        self.others.insert(pid.as_raw());
                        wait::go_on(pid, Onward::ToEvent, 0);
                    } else {
                        wait::go_on(pid, Onward::Alone, 0);
                    }
                    return;
                }
                self.others.remove(&pid.as_raw());
                self.task(pid);
            }
            libc::PTRACE_EVENT_STOP if self.is_early(pid) => {
                self.early.insert(pid.as_raw());
                return;
            }
            libc::PTRACE_EVENT_STOP => {}
            _ => {
                if let Ok(new) = ptrace::getevent(pid) {
                    self.born(pid, Pid::from_raw(i32::try_from(new).unwrap_or_default()));
                }
            }
        }
        self.goes_on(pid, 0);
    }

    /// Lets a task go on, with a signal or 0.
    fn goes_on(&self, pid: Pid, signal: c_int) {
        let how = if self.stops_at_calls {
            Onward::ToEvent
        } else if self.has_failed() {
            // Nothing more is wanted of it but how it ends.
            Onward::Alone
        } else {
            Onward::ToCall
        };
        wait::go_on(pid, how, signal);
    }

    /// Takes note of a task that another has made.
    fn born(&mut self, of: Pid, new: Pid) {
        if self.others.contains(&of.as_raw()) {
            self.others.insert(new.as_raw());
        } else {
            self.task(new);
        }
        if self.early.remove(&new.as_raw()) {
            wait::go_on(new, Onward::ToEvent, 0);
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
