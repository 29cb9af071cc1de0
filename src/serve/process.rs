//! A process that faces the network: started with its socket and a channel, and ended.
//!
//! Its two files are its stdin and stdout, so no descriptor numbers are passed. Not for its work.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{channel, confinement};

/// A running process that faces the network.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a process by a command; returns it with the channel to it.
    pub(super) fn start(mut command: Command, socket: OwnedFd) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = channel::pair().context("making a socket between two processes")?;
        confinement::set_close_on_exec().context("marking files close-on-exec")?;
        let child = command
            .stdin(Stdio::from(socket))
            .stdout(Stdio::from(theirs))
            .spawn()
            .context("starting the process that faces the network")?;
        Ok((Self(child), ours))
    }

    /// Waits until it has ended, as it does when its channel is closed; it is killed if it hangs.
    pub(super) fn end(mut self) -> Result<ExitStatus> {
        std::thread::sleep(Duration::from_millis(50));
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
        }
        self.0
            .wait()
            .context("waiting for the process that faces the network")
    }
}
