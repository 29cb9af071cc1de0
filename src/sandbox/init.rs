//! The processes between netbe and a program of an environment.
//!
//! netbe starts itself again as the *first stage*: one thread, no descriptors but one socket. That makes
//! the namespaces and starts *init*, process 1 of the new PID namespace, which furnishes it, gives up its
//! privileges, starts the program and reaps. Each dies with the one before it, and with init the kernel
//! ends everything inside, so nothing is left of a sandbox whatever happens to netbe.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::process::exit;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, setsid};

use super::cgroup::Limit;
use super::fork::split;
use super::network::Connection;
use super::protocol::{Input, Report, Request, receive_request, send_report};
use super::signals::{forget_signals, whatever_comes};
use super::sockets::Sockets;
use super::{Ended, privileges, program, rootfs};

/// The first descriptor behind stdin, stdout and stderr.
const FIRST_FREE: RawFd = 3;
/// Tells the first stage to end the sandbox at once; nothing inside can withstand that.
pub(super) const END_NOW: Signal = Signal::SIGUSR1;

/// Runs the first stage, on the socket with this number, and ends with it.
pub(super) fn run(channel: RawFd) -> ! {
    let channel = take_channel(channel);
    let status = match first_stage(&channel) {
        Ok(()) => 0,
        Err(error) => {
            report_failure(&channel, &error);
            1
        }
    };
    exit(status)
}

#[allow(unsafe_code)]
fn take_channel(number: RawFd) -> UnixStream {
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: closes descriptors that nothing in this new, single-threaded process has opened:
        // whatever netbe's caller had left open for it. No program inside may ever see those.
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

fn report_failure(channel: &UnixStream, error: &anyhow::Error) {
    // Nobody to tell when netbe is gone: then the sandbox is, too.
    let _ = send_report(channel, &Report::Failed(format!("{error:#}")), None);
}

fn first_stage(channel: &UnixStream) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let request = receive_request(channel).context("reading the request")?;
    if parent_id() != request.parent {
        bail!("netbe has gone");
    }
    // A caller that ignores SIGCHLD would have the kernel reap init behind our back.
    forget_signals()?;
    // Keys typed at the server's terminal are netbe's to pass on, once.
    setsid()?;
    // Its helpers belong to this PID namespace, and to nobody's signals.
    let connection = Connection::make(&request.network, request.range, channel.as_raw_fd())
        .context("making a network apart")?;
    let sockets = Sockets::start(connection.as_ref(), channel.as_raw_fd())
        .context("starting what makes sockets")?;
    let signals = listen_for(&[
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        END_NOW,
    ])?;
    unshare(CloneFlags::CLONE_NEWPID).context("making a PID namespace")?;
    // Goes when this function ends, after init and with it everybody inside.
    let limit = Limit::make();
    let (alive, held) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let init = match split()? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(held);
            limit.enter();
            let beside = Beside {
                connection: connection.as_ref(),
                sockets: sockets.as_ref(),
            };
            become_init(channel, &request, &beside, &alive)
        }
    };
    drop(alive);
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if !matches!(ended(Some(init))?, WaitStatus::StillAlive) {
                    return Ok(());
                }
            }
            END_NOW => kill(init, Signal::SIGKILL)?,
            signal => kill(init, signal)?,
        }
    }
}

/// What there is beside the sandbox, for it.
struct Beside<'a> {
    connection: Option<&'a Connection>,
    sockets: Option<&'a Sockets>,
}

fn become_init(channel: &UnixStream, request: &Request, beside: &Beside<'_>, alive: &OwnedFd) -> ! {
    let status = match init(channel, request, beside, alive) {
        Ok(()) => 0,
        Err(error) => {
            report_failure(channel, &error);
            1
        }
    };
    exit(status)
}

fn init(
    channel: &UnixStream,
    request: &Request,
    beside: &Beside<'_>,
    alive: &OwnedFd,
) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if closed(alive)? {
        bail!("netbe has gone");
    }
    // Before /proc and /sys are made: they show the network of whoever makes them.
    if let Some(connection) = beside.connection {
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
    let program = match split()? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let Err(ended) = program::start(request, terminal.as_deref(), beside.sockets);
            let _ = send_report(channel, &Report::Ended(ended), None);
            exit(127)
        }
    };
    send_report(channel, &Report::Ended(reap(program)?), None)?;
    Ok(())
}

/// Returns what has ended: a certain process, or any.
fn ended(process: Option<Pid>) -> io::Result<WaitStatus> {
    let look = || waitpid(process, Some(WaitPidFlag::WNOHANG));
    Ok(whatever_comes(look)?)
}

/// Reaps what ends, passes signals on to the program, and returns how it ended.
fn reap(program: Pid) -> anyhow::Result<Ended> {
    let signals = listen_for(&[
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
    ])?;
    loop {
        loop {
            match ended(None)? {
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
            // The program may be ending just now, or not lead its group yet.
            signal => match killpg(program, signal) {
                Ok(()) => {}
                Err(_) => drop(kill(program, signal)),
            },
        }
    }
}

/// Makes a terminal in the sandbox's own `/dev/pts` and hands its controlling end to netbe.
fn offer_terminal(channel: &UnixStream) -> anyhow::Result<String> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty()).context("making a terminal")?;
    let number = unlock_terminal(&master)?;
    send_report(channel, &Report::Terminal, Some(&master))?;
    Ok(format!("/dev/pts/{number}"))
}

#[allow(unsafe_code)]
fn unlock_terminal(master: &OwnedFd) -> io::Result<u32> {
    let (mut number, locked): (libc::c_uint, libc::c_int) = (0, 0);
    // SAFETY: TIOCSPTLCK reads one int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
    // SAFETY: TIOCGPTN writes one unsigned int, which outlives the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

fn listen_for(signals: &[Signal]) -> io::Result<SigSet> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block()?;
    Ok(set)
}

fn closed(pipe: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    whatever_comes(|| poll(&mut fds, PollTimeout::ZERO))?;
    Ok(fds[0]
        .revents()
        .is_some_and(|r| r.contains(PollFlags::POLLHUP)))
}
