//! Processes that end with the test that started them, whatever ends that.
//!
//! Each is the first process of a PID namespace, which the kernel kills with the thread that started it: so neither a
//! panic nor a SIGKILL leaves one, or a child of one, behind.

use std::ffi::OsStr;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running process and all it started; dropping it kills them, and returns when they are gone.
#[derive(Debug)]
pub(crate) struct EndedChild(Child);

/// Returns a command line that runs a program so, to be given its arguments.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(program);
    command
}

impl EndedChild {
    /// Starts what [`command`] returned.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}")))
    }

    /// Returns the child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for EndedChild {
    fn drop(&mut self) {
        // The first of the namespace, if it is there: unshare(1) waits for it, and the kernel lets it be reaped only when
        // it is the last. The outermost alone would be gone before the rest, which may still hold a tap or a socket.
        match first_of_namespace(&self.0) {
            Some(first) => drop(kill(first, Signal::SIGKILL)),
            None => drop(self.0.kill()),
        }
        let _ = self.0.wait();
    }
}

/// Returns what unshare(1) has forked.
fn first_of_namespace(outermost: &Child) -> Option<Pid> {
    let id = outermost.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let first = children.split_whitespace().next()?;
    Some(Pid::from_raw(first.parse().ok()?))
}
