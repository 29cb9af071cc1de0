//! Sockets for programs that ask through `socketcall`, as those of i386 do.
//!
//! What they ask for lies in their memory, where a filter of system calls cannot look, and where it could change after a
//! look. So the kernel asks this process (seccomp's user notification): it reads once, makes the socket itself if the
//! filter's own rules allow it, and hands it over. Not for any other call.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::attendant::Attendant;
use super::network::Connection;
use super::privileges::{self, SYS_ADMIN, SYS_PTRACE};
use super::seccomp::{self, SOCKETPAIR};
use super::signals::whatever_comes;

/// `SECCOMP_IOCTL_NOTIF_…` of linux/seccomp.h.
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
const ADD: libc::c_ulong = 0x4018_2103;

/// The process that makes sockets, and the way to it.
#[derive(Debug)]
pub(super) struct Sockets {
    _maker: Attendant,
    way: UnixStream,
}

impl Sockets {
    /// Starts it, in the network programs will have; `channel` is not for it. Nothing where no program can ask so.
    pub(super) fn start(
        connection: Option<&Connection>,
        channel: RawFd,
    ) -> anyhow::Result<Option<Self>> {
        if !seccomp::has_old_door() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        // Reading another's memory wants this; no other capability is left, so no raw sockets either.
        let maker = Attendant::start(channel, &[SYS_PTRACE, SYS_ADMIN], || {
            if let Some(connection) = connection {
                connection.enter()?;
            }
            privileges::hold_only(&[SYS_PTRACE])?;
            let listener = receive(&theirs)?;
            loop {
                answer_one(&listener)?;
            }
        });
        Ok(Some(Self {
            _maker: maker?,
            way: ours,
        }))
    }

    /// Hands over where the kernel asks.
    pub(super) fn hand(&self, listener: &OwnedFd) -> io::Result<()> {
        let raw = [listener.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(b"l")];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let way = self.way.as_raw_fd();
        whatever_comes(|| sendmsg::<()>(way, &parts, &rights, flags, None))?;
        Ok(())
    }
}

#[allow(unsafe_code)]
fn receive(way: &UnixStream) -> anyhow::Result<OwnedFd> {
    let (mut bytes, mut control) = ([0u8; 1], nix::cmsg_space!([RawFd; 1]));
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(way.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part
            && let Some(raw) = raw.first()
        {
            // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(*raw) });
        }
    }
    anyhow::bail!("nobody has come")
}

/// Waits for a question and answers it; an error is one of the listener's, whose users have gone.
#[allow(unsafe_code)]
fn answer_one(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: a struct of integers, which the kernel wants to find empty.
    let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    match tell(listener, RECEIVE, &mut question) {
        // Whoever asked was killed meanwhile.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) => return Ok(()),
        received => received?,
    };
    let (val, error) = match made(listener, &question) {
        Ok(value) => (value, 0),
        Err(e) => (0, -e.raw_os_error().unwrap_or(libc::EAFNOSUPPORT)),
    };
    let mut answer = libc::seccomp_notif_resp {
        id: question.id,
        val,
        error,
        flags: 0,
    };
    match tell(listener, SEND, &mut answer) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        sent => sent.map(drop),
    }
}

#[allow(unsafe_code)]
fn tell<T>(listener: &OwnedFd, request: libc::c_ulong, about: &mut T) -> io::Result<i32> {
    // SAFETY: each request takes the one struct it is called with here, of the size in its number, which outlives it.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(about)) };
    Ok(Errno::result(result)?)
}

/// Does what was asked for; returns what the call returns.
fn made(listener: &OwnedFd, question: &libc::seccomp_notif) -> io::Result<i64> {
    let [call, place, ..] = question.data.args;
    let memory = File::options()
        .read(true)
        .write(call == SOCKETPAIR)
        .open(format!("/proc/{}/mem", question.pid))?;
    let mut words = [0; 16];
    let wanted = if call == SOCKETPAIR { 16 } else { 12 };
    let fault = |_| io::Error::from_raw_os_error(libc::EFAULT);
    memory
        .read_exact_at(&mut words[..wanted], place)
        .map_err(fault)?;
    // Else it was the memory of another process that has its number by now.
    tell(listener, IS_VALID, &mut question.id.clone())?;
    let word =
        |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let asked = [word(0), word(4), word(8)];
    let name = if call == SOCKETPAIR {
        "socketpair"
    } else {
        "socket"
    };
    if seccomp::has_no_family(name, asked.map(u64::from)) {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    if call != SOCKETPAIR {
        let socket = socket(asked)?;
        return hand_over(listener, question.id, &socket, asked[1]).map(i64::from);
    }
    let (one, other) = pair(asked)?;
    let mut numbers = Vec::new();
    for end in [one, other] {
        let number = hand_over(listener, question.id, &end, asked[1])?;
        numbers.extend(number.to_ne_bytes());
    }
    memory
        .write_all_at(&numbers, u64::from(word(12)))
        .map_err(fault)?;
    Ok(0)
}

/// Gives whoever asked a descriptor of it; returns its number there.
fn hand_over(listener: &OwnedFd, id: u64, socket: &OwnedFd, kind: u32) -> io::Result<i32> {
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
    tell(listener, ADD, &mut about)
}

#[allow(unsafe_code)]
fn socket(asked: [u32; 3]) -> io::Result<OwnedFd> {
    let [family, kind, protocol] = asked.map(u32::cast_signed);
    // SAFETY: takes integers and returns a descriptor.
    let raw = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: the kernel has just returned it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(Errno::result(raw)?) })
}

#[allow(unsafe_code)]
fn pair(asked: [u32; 3]) -> io::Result<(OwnedFd, OwnedFd)> {
    let [family, kind, protocol] = asked.map(u32::cast_signed);
    let mut ends = [0; 2];
    // SAFETY: writes two integers, which outlive the call.
    let made = unsafe {
        libc::socketpair(
            family,
            kind | libc::SOCK_CLOEXEC,
            protocol,
            ends.as_mut_ptr(),
        )
    };
    Errno::result(made)?;
    // SAFETY: the kernel has just returned them, so nothing else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}
