//! The processes between netbe and a program of an environment.
//!
//! netbe starts itself again as the *first stage*: one thread, no descriptors but one socket. The first stage
//! makes the namespaces and forks *init*, process 1 of the new PID namespace. Init mounts the root, drops its
//! privileges, starts the program and reaps. Each dies with its parent, and with init the kernel kills every
//! process inside: whatever happens to netbe, none is left.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::process::exit;

use anyhow::{Context, bail};
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, setsid};
use rustix::pty::{ptsname, unlockpt};

use super::cgroup::Limit;
use super::fork::fork_single_threaded;
use super::network::Connection;
use super::protocol::{Input, Report, Request, receive_request, send_report};
use super::signals::{reset_signals, retry_interrupted};
use super::sockets::Sockets;
use super::{Ended, privileges, program, rootfs};

/// The first descriptor after stdin, stdout and stderr.
const FIRST_FREE: RawFd = 3;
/// Makes the first stage kill the sandbox at once; no process inside can prevent that.
pub(super) const END_NOW: Signal = Signal::SIGUSR1;
/// Signals that init passes on to the program.
const FORWARDED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Runs the first stage, on the socket with this number, and ends with it.
pub(super) fn run(channel: RawFd) -> ! {
    let channel = take_channel(channel);
    let done = first_stage(&channel);
    end(&channel, &done)
}

#[allow(unsafe_code)]
fn take_channel(number: RawFd) -> UnixStream {
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: closes descriptors that nothing in this new, single-threaded process has opened: those that
        // netbe's caller had left open. No program inside may inherit those.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    };
    if number > FIRST_FREE {
        close(FIRST_FREE, (number - 1).unsigned_abs());
    }
    close(number + 1, libc::c_uint::MAX);
    // SAFETY: takes integers only. A program of the environment must not inherit the socket.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: netbe has left the socket open under this number; this is its only owner here.
    unsafe { UnixStream::from_raw_fd(number) }
}

/// Reports a failure where there is one, and ends this process.
fn end(channel: &UnixStream, done: &anyhow::Result<()>) -> ! {
    if let Err(error) = done {
        // Fails only where netbe has exited; the sandbox ends then too.
        let _ = send_report(channel, &Report::Failed(format!("{error:#}")), None);
    }
    exit(i32::from(done.is_err()))
}

fn first_stage(channel: &UnixStream) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let request = receive_request(channel).context("reading the request")?;
    if parent_id() != request.parent {
        bail!("netbe has gone");
    }
    // If a caller ignores SIGCHLD, the kernel reaps init before this process can.
    reset_signals()?;
    // netbe alone forwards the signals of the server's terminal; otherwise they would arrive twice.
    setsid()?;
    // Before the new PID namespace: the helpers must be out of reach of signals from inside.
    let connection = Connection::make(&request.network, request.range, channel.as_raw_fd())
        .context("making a private network")?;
    let sockets = Sockets::start(connection.as_ref(), channel.as_raw_fd())
        .context("starting the process that makes sockets")?;
    let signals = block_signals(&[&FORWARDED[..], &[Signal::SIGCHLD, END_NOW]].concat())?;
    unshare(CloneFlags::CLONE_NEWPID).context("making a PID namespace")?;
    // Removed at the end of this function, when init and all processes inside have ended.
    let limit = Limit::make();
    let (alive, held) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let init = match fork_single_threaded()? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(held);
            limit.enter();
            let attendants = Attendants {
                connection: connection.as_ref(),
                sockets: sockets.as_ref(),
            };
            become_init(channel, &request, &attendants, &alive)
        }
    };
    drop(alive);
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if !matches!(try_wait(Some(init))?, WaitStatus::StillAlive) {
                    return Ok(());
                }
            }
            END_NOW => kill(init, Signal::SIGKILL)?,
            signal => kill(init, signal)?,
        }
    }
}

/// The helper processes outside the sandbox.
struct Attendants<'a> {
    connection: Option<&'a Connection>,
    sockets: Option<&'a Sockets>,
}

fn become_init(
    channel: &UnixStream,
    request: &Request,
    attendants: &Attendants<'_>,
    alive: &OwnedFd,
) -> ! {
    let done = init(channel, request, attendants, alive);
    end(channel, &done)
}

fn init(
    channel: &UnixStream,
    request: &Request,
    attendants: &Attendants<'_>,
    alive: &OwnedFd,
) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if is_closed(alive)? {
        bail!("netbe has gone");
    }
    // Before /proc and /sys are mounted: they show the network of the process that mounts them.
    if let Some(connection) = attendants.connection {
        connection.enter().context("entering the network")?;
    }
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP,
    )
    .context("making namespaces")?;
    umask(Mode::empty());
    let core_pattern = privileges::core_pattern();
    rootfs::build(request)?;
    umask(Mode::from_bits_truncate(0o022));
    let terminal = match request.input {
        Input::Terminal => Some(offer_terminal(channel)?),
        Input::Null | Input::Pipe => None,
    };
    privileges::reduce(&core_pattern).context("giving up privileges")?;
    let program = match fork_single_threaded()? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let Err(try_wait) = program::start(request, terminal.as_deref(), attendants.sockets);
            let _ = send_report(channel, &Report::Ended(try_wait), None);
            exit(127)
        }
    };
    send_report(channel, &Report::Ended(reap(program)?), None)?;
    Ok(())
}

/// Returns the state of a child process, of any one without `process`, without waiting.
fn try_wait(process: Option<Pid>) -> io::Result<WaitStatus> {
    let wait = || waitpid(process, Some(WaitPidFlag::WNOHANG));
    Ok(retry_interrupted(wait)?)
}

/// Reaps children, forwards signals to the program, and returns how it ended.
fn reap(program: Pid) -> anyhow::Result<Ended> {
    let signals = block_signals(&[&FORWARDED[..], &[Signal::SIGCHLD]].concat())?;
    loop {
        loop {
            match try_wait(None)? {
                WaitStatus::StillAlive => break,
                WaitStatus::Exited(pid, status) if pid == program => {
                    return Ok(Ended::Exited(status));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == program => {
                    return Ok(Ended::Signalled(signal as i32));
                }
                _ => {}
            }
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            // The program may be exiting, or not be a process group leader yet.
            signal => match killpg(program, signal) {
                Ok(()) => {}
                Err(_) => drop(kill(program, signal)),
            },
        }
    }
}

/// Opens a terminal in the sandbox's own `/dev/pts` and sends its master end to netbe.
fn offer_terminal(channel: &UnixStream) -> anyhow::Result<String> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty()).context("making a terminal")?;
    unlockpt(&master)?;
    send_report(channel, &Report::Terminal, Some(&master))?;
    Ok(ptsname(&master, Vec::new())?.into_string()?)
}

fn block_signals(signals: &[Signal]) -> io::Result<SigSet> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block()?;
    Ok(set)
}

fn is_closed(pipe: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    retry_interrupted(|| poll(&mut fds, PollTimeout::ZERO))?;
    Ok(fds[0]
        .revents()
        .is_some_and(|r| r.contains(PollFlags::POLLHUP)))
}
