//! Processes that end with the test that started them, whatever ends that.
//!
//! Each is the first process of a PID namespace, which the kernel kills with the thread that started it: so neither a
//! panic nor a SIGKILL leaves one, or a child of one, behind.

use std::ffi::OsStr;
use std::process::{Child, Command};

/// A running process and all it started; dropping it kills them.
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
        // Of the outermost; the kernel goes on from there.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
