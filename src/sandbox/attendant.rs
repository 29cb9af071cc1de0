//! Processes of netbe's own beside a sandbox, outside of it: they do for it what nobody inside may.
//!
//! Each has a few privileges, no descriptor of its parent's standard ones, and dies with the first stage, whose
//! child it is. Not for what they do.

use std::os::fd::RawFd;
use std::process::exit;

use anyhow::bail;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, close, getpid, getppid};

use super::fork::split;
use super::privileges;

/// One of them; ended when dropped.
#[derive(Debug)]
pub(super) struct Attendant(Pid);

impl Attendant {
    /// Starts one that keeps these capabilities and does this work; `channel` is not for it.
    pub(super) fn start(
        channel: RawFd,
        capabilities: &[u32],
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let parent = getpid();
        match split()? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                let ready = leave(channel, parent, capabilities);
                let done = ready.and_then(|()| work());
                exit(i32::from(done.is_err()))
            }
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

fn leave(channel: RawFd, parent: Pid, capabilities: &[u32]) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        bail!("the first stage has gone");
    }
    // Whoever waits for the other ends of these must not wait for this process.
    close(channel)?;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let null = open("/dev/null", flags, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    privileges::keep_only(capabilities)?;
    Ok(())
}
