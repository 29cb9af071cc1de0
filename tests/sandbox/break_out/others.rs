//! Other processes of the server, what they keep, and its network.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::mpsc::channel;
use std::thread::Builder;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::Plain::{Either, NotTried, Succeeds};
use super::server::Prize;
use super::{Attempt, address, call, is_secret};

pub(super) const BOMB: &str = "more and more processes";

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "signal a process", plain: Succeeds, go: |p| signal(p.victim) },
    Attempt { name: "signal netbe", plain: Succeeds, go: |p| signal(p.netbe) },
    Attempt { name: "trace a process", plain: Succeeds, go: |p| trace(p.victim) },
    Attempt { name: "trace process 1", plain: NotTried, go: |_| trace(1) },
    Attempt { name: "memory by the call for it", plain: Succeeds, go: read_memory },
    Attempt { name: "descriptor by the call", plain: Succeeds, go: take_descriptor },
    Attempt { name: "compare with netbe", plain: Either, go: compare },
    Attempt { name: "a key of the session", plain: Succeeds, go: read_key },
    Attempt { name: "find that key", plain: Succeeds, go: request_key },
    Attempt { name: "a key more", plain: Succeeds, go: add_key },
    Attempt { name: "shared memory", plain: Succeeds, go: shared_memory },
    Attempt { name: "an abstract socket", plain: Succeeds, go: abstract_socket },
    Attempt { name: "be the TFTP server", plain: Succeeds, go: |_| UdpSocket::bind("127.0.0.9:69").map(drop) },
    Attempt { name: "be trusted by NFS", plain: Succeeds, go: |_| TcpListener::bind("127.0.0.9:897").map(drop) },
    Attempt { name: "the network's settings", plain: Succeeds, go: network_setting },
    Attempt { name: "listen on the wire", plain: Either, go: |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0) },
    Attempt { name: "raw packets", plain: Succeeds, go: |_| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP) },
    Attempt { name: "past the network", plain: Either, go: |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0) },
    Attempt { name: "the kernel's ciphers", plain: Either, go: |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) },
    Attempt { name: "the audit log", plain: Either, go: |_| netlink(libc::NETLINK_AUDIT) },
    Attempt { name: "the firewall", plain: Either, go: |_| netlink(libc::NETLINK_NETFILTER) },
    Attempt { name: "a protocol's module", plain: Either, go: |_| socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP) },
    Attempt { name: "type into a terminal", plain: Succeeds, go: |_| type_into(0x5412) },
    Attempt { name: "type with a bit more", plain: Succeeds, go: |_| type_into(0x5412 | 1 << 32) },
    Attempt { name: "a line discipline", plain: Succeeds, go: line_discipline },
    Attempt { name: BOMB, plain: NotTried, go: bomb },
];

fn signal(pid: i32) -> io::Result<()> {
    // Harmless for one that is not stopped, and permission is asked for all the same.
    Ok(kill(Pid::from_raw(pid), Signal::SIGCONT)?)
}

fn trace(pid: i32) -> io::Result<()> {
    let number = pid as usize;
    call(
        libc::SYS_ptrace,
        [libc::PTRACE_ATTACH as usize, number, 0, 0],
    )?;
    waitpid(Pid::from_raw(pid), None)?;
    call(
        libc::SYS_ptrace,
        [libc::PTRACE_DETACH as usize, number, 0, 0],
    )
    .map(drop)
}

fn read_memory(prize: &Prize) -> io::Result<()> {
    let mut found = [0u8; 12];
    let here = [found.as_mut_ptr() as usize, found.len()];
    let there = [prize.netbe_memory, found.len()];
    let arguments = [
        prize.netbe as usize,
        address(&here),
        1,
        address(&there),
        1,
        0,
    ];
    call(libc::SYS_process_vm_readv, arguments)?;
    is_secret(&found)
}

fn take_descriptor(prize: &Prize) -> io::Result<()> {
    let process = call(libc::SYS_pidfd_open, [prize.netbe as usize, 0])?;
    let wanted = [process as usize, prize.netbe_descriptor as usize, 0];
    call(libc::SYS_pidfd_getfd, wanted).map(drop)
}

fn compare(prize: &Prize) -> io::Result<()> {
    let (own, netbe) = (std::process::id() as usize, prize.netbe as usize);
    // KCMP_FILES.
    call(libc::SYS_kcmp, [own, netbe, 2, 0, 0]).map(drop)
}

fn read_key(prize: &Prize) -> io::Result<()> {
    let found = [0u8; 12];
    let read = libc::KEYCTL_READ as usize;
    call(
        libc::SYS_keyctl,
        [read, prize.key as usize, address(&found), found.len(), 0],
    )?;
    is_secret(&found)
}

fn request_key(_: &Prize) -> io::Result<()> {
    let arguments = [
        c"user".as_ptr() as usize,
        c"netbe-test".as_ptr() as usize,
        0,
        0,
    ];
    call(libc::SYS_request_key, arguments).map(drop)
}

fn add_key(_: &Prize) -> io::Result<()> {
    let (kind, name) = (c"user".as_ptr() as usize, c"netbe-more".as_ptr() as usize);
    let session = libc::KEY_SPEC_SESSION_KEYRING as usize;
    call(libc::SYS_add_key, [kind, name, name, 4, session]).map(drop)
}

fn shared_memory(prize: &Prize) -> io::Result<()> {
    let read = libc::SHM_RDONLY as usize;
    call(libc::SYS_shmat, [prize.memory as usize, 0, read]).map(drop)
}

fn abstract_socket(prize: &Prize) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&prize.socket)?).map(drop)
}

/// The loopback device's packet size, to what it is.
#[allow(unsafe_code)]
fn network_setting(_: &Prize) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: a struct of integers, and calls that read and write one of it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        let socket = socket.as_raw_fd();
        Errno::result(libc::ioctl(socket, libc::SIOCGIFMTU, &raw mut request))?;
        Errno::result(libc::ioctl(socket, libc::SIOCSIFMTU, &raw const request))?;
    }
    Ok(())
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    let arguments = [family as usize, kind as usize, protocol as usize];
    call(libc::SYS_socket, arguments).map(drop)
}

fn netlink(protocol: i32) -> io::Result<()> {
    socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
}

/// In a terminal of its own; netbe's it never holds.
fn type_into(request: usize) -> io::Result<()> {
    let pty = nix::pty::openpty(None, None)?;
    let typed = b'x';
    let terminal = pty.slave.as_raw_fd() as usize;
    call(libc::SYS_ioctl, [terminal, request, address(&typed)]).map(drop)
}

fn line_discipline(_: &Prize) -> io::Result<()> {
    let pty = nix::pty::openpty(None, None)?;
    // N_TTY, which it has; any other number would be looked for as a module.
    let discipline = 0i32;
    let terminal = pty.slave.as_raw_fd() as usize;
    call(libc::SYS_ioctl, [terminal, 0x5423, address(&discipline)]).map(drop)
}

/// Threads count as processes do, and cost less here.
fn bomb(_: &Prize) -> io::Result<()> {
    let mut waiting = Vec::new();
    for _ in 0..5000 {
        let (over, wait) = channel::<()>();
        Builder::new()
            .stack_size(16 << 10)
            .spawn(move || wait.recv())?;
        waiting.push(over);
    }
    Ok(())
}
