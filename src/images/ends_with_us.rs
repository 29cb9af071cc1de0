//! Starts a program that ends when netbe ends in any way, together with all processes that it has started.
//!
//! The program is the first process of a PID namespace, and when it ends the kernel ends all others in there:
//! pid_namespaces(7). A program's own protection starts too late: bwrap(1), killed with netbe during its start, leaves a
//! process that waits for ever.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// Starts the program.
///
/// # Errors
/// If the program cannot be started; nothing runs then.
#[allow(unsafe_code)]
pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
    let netbe = pidfd_open(getpid(), PidfdFlags::empty())?;
    // SAFETY: between fork and exec only prctl(2), poll(2) and _exit(2) are called, which need no lock and no memory.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The signal is not sent if netbe has ended before the call; an error would have no reader.
            if has_ended(&netbe)? {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    let namespace = File::open("/proc/thread-self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let started = command.spawn();
    let back = setns(namespace, CloneFlags::CLONE_NEWPID);
    let mut child = started?;
    if let Err(errno) = back {
        child.kill()?;
        child.wait()?;
        return Err(errno.into());
    }
    Ok(child)
}

fn has_ended(process: &OwnedFd) -> io::Result<bool> {
    let mut looked = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut looked, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::Pid;

    use super::*;

    #[test]
    fn a_process_that_has_ended_is_known() {
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        assert!(!has_ended(&own).unwrap());
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let of_child = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        assert!(!has_ended(&of_child).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(has_ended(&of_child).unwrap());
    }
}
