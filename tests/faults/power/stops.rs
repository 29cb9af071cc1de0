//! A command that stands still after each system call by which it, or a program it runs, may have changed something.
//!
//! Traced with ptrace(2), so nothing else of it runs while it stands still. Not for changing what the calls do.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

use crate::support::Outcome;

/// The calls after which it stands still; opening only where it makes a file.
const CALLS: &str = "open openat openat2 creat rename renameat renameat2 symlink symlinkat link linkat mkdir mkdirat \
    mknod mknodat unlink unlinkat rmdir ioctl write writev pwrite64 ftruncate truncate fallocate chmod fchmod fchmodat \
    chown lchown fchown fchownat utimensat fsync fdatasync sync syncfs copy_file_range sendfile splice setxattr \
    lsetxattr fsetxattr removexattr lremovexattr fremovexattr";

/// The calls that decide what a power cut leaves: a spread of the points is taken among these.
const DECISIVE: &str = "rename renameat renameat2 symlink symlinkat unlink unlinkat rmdir ioctl fsync fdatasync syncfs write";

/// Where a command stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Which one it is, from 0.
    pub(crate) number: usize,
    /// The call that has just succeeded.
    pub(crate) call: &'static str,
    /// The process that netbe is.
    pub(crate) process: i32,
}

impl Stop {
    /// Returns whether its call is one of those that decide what a power cut leaves.
    pub(super) fn is_decisive(&self) -> bool {
        DECISIVE.split(' ').any(|call| call == self.call)
    }
}

/// Runs a command to its end, and calls `at` wherever it stands still.
///
/// Its output goes through files in `beside`.
pub(crate) fn run(command: &Command, beside: &Path, at: &mut dyn FnMut(&Stop)) -> Outcome {
    let [out, err] = ["stdout", "stderr"].map(|name| beside.join(name));
    #[allow(clippy::zombie_processes, reason = "who traces it waits for it")]
    // It waits for a line until it is traced; then the same process is netbe.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read go && exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::piped())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let follow = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, follow).unwrap();
    ptrace::interrupt(pid).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"go\n").unwrap();
    drop(input);
    let status = follow_all(pid, at);
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    Outcome {
        status,
        stdout: text(&out),
        stderr: text(&err),
    }
}

/// Follows everything that is traced until nothing is left; returns how `first` ended.
fn follow_all(first: Pid, at: &mut dyn FnMut(&Stop)) -> i32 {
    let mut status = -1;
    let mut number = 0;
    let mut begun: HashMap<Pid, Option<&'static str>> = HashMap::new();
    // Of this thread's children only: other threads wait for theirs.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        let resumed = match waitpid(None, Some(flags)) {
            Err(Errno::ECHILD) => return status,
            Err(Errno::EINTR) => continue,
            Err(error) => panic!("waiting for a traced process: {error}"),
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                match look(pid) {
                    Look::Entry(call) => drop(begun.insert(pid, call)),
                    Look::Success => {
                        if let Some(call) = begun.remove(&pid).flatten() {
                            at(&Stop {
                                number,
                                call,
                                process: first.as_raw(),
                            });
                            number += 1;
                        }
                    }
                    Look::Other => drop(begun.remove(&pid)),
                }
                ptrace::syscall(pid, None)
            }
            Ok(WaitStatus::PtraceEvent(pid, ..)) => ptrace::syscall(pid, None),
            Ok(WaitStatus::Stopped(pid, signal)) => ptrace::syscall(pid, signal),
            Ok(WaitStatus::Exited(pid, code)) => {
                if pid == first {
                    status = code;
                }
                Ok(())
            }
            Ok(_) => Ok(()),
        };
        // It may have been killed meanwhile: its end is yet to be told.
        assert!(matches!(resumed, Ok(()) | Err(Errno::ESRCH)), "{resumed:?}");
    }
}

/// What a traced process has stopped at.
enum Look {
    /// It begins a call; the name of one that is among [`CALLS`].
    Entry(Option<&'static str>),
    /// It has ended one without an error.
    Success,
    /// Anything else.
    Other,
}

// PTRACE_SYSCALL_INFO_ENTRY and _EXIT of linux/ptrace.h.
const ENTRY: u8 = 1;
const EXIT: u8 = 2;

#[allow(unsafe_code)]
fn look(pid: Pid) -> Look {
    let Ok(info) = ptrace::syscall_info(pid) else {
        return Look::Other;
    };
    match info.op {
        ENTRY => {
            // SAFETY: the kernel fills in `entry` where `op` says so; all of it is plain numbers.
            let entry = unsafe { info.u.entry };
            Look::Entry(changing(entry.nr, &entry.args))
        }
        // SAFETY: as above, for `exit`.
        EXIT if unsafe { info.u.exit.is_error } == 0 => Look::Success,
        _ => Look::Other,
    }
}

fn changing(number: u64, arguments: &[u64]) -> Option<&'static str> {
    let name = Sysno::new(usize::try_from(number).ok()?)?.name();
    let flags = match name {
        "open" => arguments[1],
        "openat" => arguments[2],
        _ => nix::libc::O_CREAT as u64,
    };
    let makes = flags & nix::libc::O_CREAT as u64 != 0;
    (makes && CALLS.split_whitespace().any(|call| call == name)).then_some(name)
}
