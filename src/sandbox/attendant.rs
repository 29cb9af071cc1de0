//! Helper processes of netbe outside a sandbox, for what processes inside have no privilege to do.
//!
//! Each keeps a few capabilities and none of its parent's standard descriptors, and dies with its parent, the
//! first stage. What they do is defined by their callers.

use std::os::fd::RawFd;
use std::process::exit;

use anyhow::bail;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, close, getpid, getppid};
use rustix::thread::CapabilitySet;

use super::fork::fork_single_threaded;
use super::privileges;

/// A helper process; killed when dropped.
#[derive(Debug)]
pub(super) struct Attendant(Pid);

impl Attendant {
    /// Forks a process that closes `channel`, keeps only these capabilities and runs `work`.
    pub(super) fn start(
        channel: RawFd,
        capabilities: CapabilitySet,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let parent = getpid();
        match fork_single_threaded()? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                let ready = detach(channel, parent, capabilities);
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

fn detach(channel: RawFd, parent: Pid, capabilities: CapabilitySet) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        bail!("the sandbox's first stage has exited");
    }
    // A reader of the other end would not see its end while this process had it open.
    close(channel)?;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let null = open("/dev/null", flags, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    privileges::keep_only(capabilities)?;
    Ok(())
}
