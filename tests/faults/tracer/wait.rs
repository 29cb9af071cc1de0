//! Waiting for what followed tasks do, and letting them go on, with signals as numbers.
//!
//! For nix a signal is one of the 31 named ones, and a stop at another is an error, by which the stop is lost: C
//! libraries use the first real-time signals among the threads of one program, as setgroups(3) does.

use nix::errno::Errno;
use nix::libc::{self, c_int, c_uint};
use nix::unistd::Pid;

/// What a task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    /// No task did anything: only where there was no waiting.
    Nothing,
    /// It ended, with a status; by a signal: −1.
    Ended(Pid, c_int),
    /// It is before or after a call.
    AtCall(Pid),
    /// It is at an event: `PTRACE_EVENT_…`.
    At(Pid, c_int),
    /// It is about to get a signal.
    Signalled(Pid, c_int),
}

/// How a task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// To its next event.
    ToEvent,
    /// To its next call.
    ToCall,
    /// Alone.
    Alone,
}

/// Waits until a task that this thread follows has done something, or only looks.
///
/// # Errors
///
/// `ECHILD` where none is left, `EINTR`.
#[allow(unsafe_code)]
pub(super) fn wait(is_looking_only: bool) -> nix::Result<Happened> {
    let patience = if is_looking_only { libc::WNOHANG } else { 0 };
    let mut status = 0;
    // SAFETY: the status is written to an integer that outlives the call.
    let pid = unsafe {
        let flags = libc::__WALL | libc::__WNOTHREAD | patience;
        libc::waitpid(-1, &raw mut status, flags)
    };
    Errno::result(pid).map(|pid| read(pid, status))
}

/// Reads what waitpid(2) returned, as its page and that of ptrace(2) tell.
fn read(pid: c_int, status: c_int) -> Happened {
    let task = Pid::from_raw(pid);
    if pid == 0 {
        Happened::Nothing
    } else if libc::WIFEXITED(status) {
        Happened::Ended(task, libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Happened::Ended(task, -1)
    } else if status >> 16 != 0 {
        Happened::At(task, status >> 16)
    } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
        Happened::AtCall(task)
    } else {
        Happened::Signalled(task, libc::WSTOPSIG(status))
    }
}

/// Lets a stopped task go on, with the signal that it is to get, or 0. It may be gone: killed.
#[allow(unsafe_code)]
pub(super) fn go_on(task: Pid, how: Onward, signal: c_int) {
    let request: c_uint = match how {
        Onward::ToEvent => libc::PTRACE_CONT,
        Onward::ToCall => libc::PTRACE_SYSCALL,
        Onward::Alone => libc::PTRACE_DETACH,
    };
    // SAFETY: these requests read and write no memory of this process; the signal is passed as a number, in the place
    // of a pointer.
    let _ = unsafe {
        libc::ptrace(
            request,
            task.as_raw(),
            0_usize,
            usize::try_from(signal).unwrap_or_default(),
        )
    };
}

#[test]
fn a_signal_without_a_name_reaches_the_program() {
    use std::process::Command;

    let mut sends = Command::new("/bin/bash");
    sends.args([
        "-c",
        "trap 'echo got it' RTMIN; kill -RTMIN $$; echo goes on",
    ]);
    let traced = super::trace(&sends, None);
    assert_eq!(traced.outcome.stdout, "got it\ngoes on\n");
    let call = traced
        .calls
        .into_iter()
        .find(|call| call.what.starts_with("rt_sigaction"));
    // Once more as where a filter stops it.
    let call = call.unwrap();
    let never = super::Call {
        same: 1_000,
        ..call
    };
    let traced = super::trace(&sends, Some((&never, super::Break::Kill)));
    assert_eq!(traced.outcome.stdout, "got it\ngoes on\n");
}
