//! Makes sockets for programs that use `socketcall`, as those of i386 do.
//!
//! The call's arguments are in the program's memory: a system call filter cannot read them, and they could
//! change after a check. So the kernel notifies this process (seccomp user notification), which reads them
//! once, makes the socket itself if the filter's rules allow it, and adds it to the program's descriptors.
//! Other calls are not handled here.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use nix::errno::Errno;
use nix::libc;
use rustix::thread::CapabilitySet;

use super::attendant::Attendant;
use super::network::Connection;
use super::privileges;
use super::protocol;
use super::seccomp::{self, SOCKETPAIR};

/// `SECCOMP_IOCTL_NOTIF_…` of linux/seccomp.h.
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
const ADD: libc::c_ulong = 0x4018_2103;

/// The process that makes sockets, and the channel to it.
#[derive(Debug)]
pub(super) struct Sockets {
    _maker: Attendant,
    channel_out: UnixStream,
}

impl Sockets {
    /// Starts the process in the programs' network; it closes `channel`. `None` without `socketcall`.
    pub(super) fn start(
        connection: Option<&Connection>,
        channel: RawFd,
    ) -> anyhow::Result<Option<Self>> {
        if !seccomp::has_socketcall() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        // To read another process's memory, and to enter its namespaces; nothing else, so raw sockets fail.
        let held = CapabilitySet::SYS_PTRACE | CapabilitySet::SYS_ADMIN;
        let maker = Attendant::start(channel, held, || {
            if let Some(connection) = connection {
                connection.enter()?;
            }
            privileges::hold_only(CapabilitySet::SYS_PTRACE)?;
            let listener = protocol::receive_along(&theirs, &mut [0])?.1;
            let listener = listener.context("no listener was sent")?;
            loop {
                answer_one(&listener)?;
            }
        });
        Ok(Some(Self {
            _maker: maker?,
            channel_out: ours,
        }))
    }

    /// Sends the listener to the process.
    pub(super) fn send_listener(&self, listener: &OwnedFd) -> io::Result<()> {
        protocol::send_along(&self.channel_out, b"l", Some(listener))
    }
}

/// Waits for a notification and answers it; fails when all users of the listener have ended.
#[allow(unsafe_code)]
fn answer_one(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: a struct of integers, which the kernel requires to be zero.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    match notify_ioctl(listener, RECEIVE, &mut notification) {
        // The calling process was killed meanwhile.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) => return Ok(()),
        received => received?,
    };
    let (val, error) = match handle(listener, &notification) {
        Ok(value) => (value, 0),
        Err(e) => (0, -e.raw_os_error().unwrap_or(libc::EAFNOSUPPORT)),
    };
    let mut answer = libc::seccomp_notif_resp {
        id: notification.id,
        val,
        error,
        flags: 0,
    };
    match notify_ioctl(listener, SEND, &mut answer) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        sent => sent.map(drop),
    }
}

#[allow(unsafe_code)]
fn notify_ioctl<T>(listener: &OwnedFd, request: libc::c_ulong, about: &mut T) -> io::Result<i32> {
    // SAFETY: each request takes the one struct it is called with here, of the size in its number, which outlives it.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(about)) };
    Ok(Errno::result(result)?)
}

/// Makes the sockets; returns the call's result.
fn handle(listener: &OwnedFd, notification: &libc::seccomp_notif) -> io::Result<i64> {
    let [call, address, ..] = notification.data.args;
    let memory = File::options()
        .read(true)
        .write(call == SOCKETPAIR)
        .open(format!("/proc/{}/mem", notification.pid))?;
    let mut words = [0; 16];
    let wanted = if call == SOCKETPAIR { 16 } else { 12 };
    let fault = |_| io::Error::from_raw_os_error(libc::EFAULT);
    memory
        .read_exact_at(&mut words[..wanted], address)
        .map_err(fault)?;
    // Otherwise the process ID was reused, and the memory read was another process's.
    notify_ioctl(listener, IS_VALID, &mut notification.id.clone())?;
    let word =
        |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let arguments = [word(0), word(4), word(8)];
    let name = if call == SOCKETPAIR {
        "socketpair"
    } else {
        "socket"
    };
    if seccomp::has_no_family(name, arguments.map(u64::from)) {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    if call != SOCKETPAIR {
        let socket = socket(arguments)?;
        return add_descriptor(listener, notification.id, &socket, arguments[1]).map(i64::from);
    }
    let (one, other) = pair(arguments)?;
    let mut numbers = Vec::new();
    for end in [one, other] {
        let number = add_descriptor(listener, notification.id, &end, arguments[1])?;
        numbers.extend(number.to_ne_bytes());
    }
    memory
        .write_all_at(&numbers, u64::from(word(12)))
        .map_err(fault)?;
    Ok(0)
}

/// Adds the socket to the calling process's descriptors; returns its number there.
fn add_descriptor(listener: &OwnedFd, id: u64, socket: &OwnedFd, kind: u32) -> io::Result<i32> {
    let close_on_exec = kind & libc::SOCK_CLOEXEC.cast_unsigned();
    let mut about = libc::seccomp_notif_addfd {
        id,
        flags: 0,
        srcfd: socket.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: match close_on_exec {
            0 => 0,
            _ => libc::O_CLOEXEC.cast_unsigned(),
        },
    };
    notify_ioctl(listener, ADD, &mut about)
}

#[allow(unsafe_code)]
fn socket(arguments: [u32; 3]) -> io::Result<OwnedFd> {
    let [family, kind, protocol] = arguments.map(u32::cast_signed);
    // SAFETY: takes integers and returns a descriptor.
    let raw = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: the kernel has just returned it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(Errno::result(raw)?) })
}

#[allow(unsafe_code)]
fn pair(arguments: [u32; 3]) -> io::Result<(OwnedFd, OwnedFd)> {
    let [family, kind, protocol] = arguments.map(u32::cast_signed);
    let mut ends = [0; 2];
    // SAFETY: writes two integers, which outlive the call.
    let handle = unsafe {
        libc::socketpair(
            family,
            kind | libc::SOCK_CLOEXEC,
            protocol,
            ends.as_mut_ptr(),
        )
    };
    Errno::result(handle)?;
    // SAFETY: the kernel has just returned them, so nothing else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}
