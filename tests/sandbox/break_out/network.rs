//! Getting at this machine by the network: by each of its addresses, by each way of saying where to send.

use std::io::{self, Read};
use std::mem::size_of_val;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;

use super::Plain::{Either, NotTried, Succeeds};
use super::server::Prize;
use super::{Attempt, address, call, is_secret};

pub(super) const MANY: &str = "many at once";

/// That of a service which announces itself to the whole wire.
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

#[rustfmt::skip]
pub(super) const ALL: &[Attempt] = &[
    Attempt { name: "its addresses", plain: Succeeds, go: |p| each(p, |to| stream(to, None)) },
    Attempt { name: "its addresses, by UDP", plain: Succeeds, go: |p| each(p, |to| datagram(to, None)) },
    Attempt { name: "past the routes", plain: Either, go: |p| each(p, |to| stream(to, Some("tap0"))) },
    Attempt { name: "past the routes, by UDP", plain: Either, go: |p| each(p, |to| datagram(to, Some("tap0"))) },
    Attempt { name: "by packet information", plain: Either, go: |p| each(p, by_information) },
    Attempt { name: "without a router", plain: Either, go: |p| each(p, without_router) },
    Attempt { name: MANY, plain: Either, go: many_at_once },
    Attempt { name: "loopback of IPv6", plain: Either, go: loopback_of_six },
    Attempt { name: "routes undone", plain: NotTried, go: undo_routes },
    Attempt { name: "what clouds tell", plain: NotTried, go: clouds },
];

/// Whether the kernel has what closes that.
pub(super) fn has_policies() -> bool {
    let kind = libc::SOCK_RAW as usize;
    let arguments = [libc::AF_NETLINK as usize, kind, libc::NETLINK_XFRM as usize];
    call(libc::SYS_socket, arguments).is_ok()
}

fn each(prize: &Prize, go: impl Fn(SocketAddrV4) -> io::Result<()>) -> io::Result<()> {
    let more = [
        [127, 0, 0, 1],
        [127, 9, 9, 9],
        [0, 0, 0, 0],
        [10, 0, 2, 2],
        [10, 0, 2, 3],
        [255, 255, 255, 255],
        [198, 51, 100, 255],
    ];
    let all = prize.addresses.iter().copied();
    let mut last = Err(io::Error::other("no address"));
    for to in all.chain(more.map(Ipv4Addr::from)) {
        last = go(SocketAddrV4::new(to, prize.port));
        if last.is_ok() {
            return last;
        }
    }
    last
}

const SOON: Duration = Duration::from_millis(250);

fn bind_to(socket: i32, device: Option<&str>) -> io::Result<()> {
    let Some(device) = device else {
        return Ok(());
    };
    let (level, option) = (libc::SOL_SOCKET as usize, libc::SO_BINDTODEVICE as usize);
    let arguments = [
        socket as usize,
        level,
        option,
        device.as_ptr() as usize,
        device.len(),
    ];
    call(libc::SYS_setsockopt, arguments).map(drop)
}

#[allow(unsafe_code)]
fn stream(to: SocketAddrV4, device: Option<&str>) -> io::Result<()> {
    if device.is_none() {
        let mut found = [0; 12];
        let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(to), SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.read_exact(&mut found)?;
        return is_secret(&found);
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    let socket = call(libc::SYS_socket, [libc::AF_INET as usize, kind as usize, 0])?;
    // SAFETY: the kernel has just returned it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket as i32) };
    bind_to(socket.as_raw_fd(), device)?;
    let name = socket_address(to);
    let _ = call(
        libc::SYS_connect,
        [
            socket.as_raw_fd() as usize,
            address(&name),
            size_of_val(&name),
        ],
    );
    std::thread::sleep(SOON);
    let mut stream = TcpStream::from(socket);
    let mut found = [0; 12];
    stream.read_exact(&mut found)?;
    is_secret(&found)
}

fn socket_address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn answered(socket: &UdpSocket) -> io::Result<()> {
    socket.set_read_timeout(Some(SOON))?;
    let mut found = [0; 12];
    socket.recv(&mut found)?;
    is_secret(&found)
}

fn datagram(to: SocketAddrV4, device: Option<&str>) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    bind_to(socket.as_raw_fd(), device)?;
    socket.send_to(b"hello", to)?;
    answered(&socket)
}

/// The device named with the datagram, which no filter of calls can see.
#[allow(unsafe_code)]
fn by_information(to: SocketAddrV4) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let (mut name, mut text) = (socket_address(to), *b"hello");
    // SAFETY: a name to look up, NUL-terminated.
    let device = unsafe { libc::if_nametoindex(c"tap0".as_ptr()) };
    let information = libc::in_pktinfo {
        ipi_ifindex: device.cast_signed(),
        ipi_spec_dst: libc::in_addr { s_addr: 0 },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let mut control = [0u64; 8];
    // SAFETY: everything the message names outlives the call; the control buffer is larger than the one message in it.
    unsafe {
        let mut part = libc::iovec {
            iov_base: text.as_mut_ptr().cast(),
            iov_len: text.len(),
        };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_name = (&raw mut name).cast();
        message.msg_namelen = size_of_val(&name) as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        let length = size_of_val(&information) as u32;
        message.msg_controllen = libc::CMSG_SPACE(length) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::IPPROTO_IP;
        (*head).cmsg_type = libc::IP_PKTINFO;
        (*head).cmsg_len = libc::CMSG_LEN(length) as _;
        libc::CMSG_DATA(head)
            .cast::<libc::in_pktinfo>()
            .write_unaligned(information);
        nix::errno::Errno::result(libc::sendmsg(socket.as_raw_fd(), &raw const message, 0))?;
    }
    answered(&socket)
}

fn without_router(to: SocketAddrV4) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    bind_to(socket.as_raw_fd(), Some("tap0"))?;
    let (name, text) = (socket_address(to), *b"hello");
    let arguments = [
        socket.as_raw_fd() as usize,
        address(&text),
        text.len(),
        libc::MSG_DONTROUTE as usize,
        address(&name),
        size_of_val(&name),
    ];
    call(libc::SYS_sendto, arguments)?;
    answered(&socket)
}

fn many_at_once(prize: &Prize) -> io::Result<()> {
    let to = SocketAddrV4::new(GROUP, prize.port);
    let mut result = datagram(to, None);
    for device in ["tap0", "wire", "lo"] {
        result = result.or_else(|_| datagram(to, Some(device)));
    }
    // From an address of a device, routes are not asked either.
    let socket = UdpSocket::bind("10.0.2.100:0")?;
    result.or_else(|_| {
        socket.send_to(b"hello", to)?;
        answered(&socket)
    })
}

fn loopback_of_six(prize: &Prize) -> io::Result<()> {
    let to = SocketAddr::from((Ipv6Addr::LOCALHOST, prize.port));
    TcpStream::connect_timeout(&to, SOON).map(drop)
}

/// Asks rtnetlink to take away each route that leads nowhere.
fn undo_routes(prize: &Prize) -> io::Result<()> {
    let kind = libc::SOCK_RAW as usize;
    let socket = call(libc::SYS_socket, [libc::AF_NETLINK as usize, kind, 0])?;
    let mut result = Err(io::Error::other("no address"));
    for to in &prize.addresses {
        // RTM_DELROUTE, acknowledged: a /32 of the main table, type unreachable.
        let mut message = vec![36, 0, 0, 0, 25, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([2, 32, 0, 0, 254, 0, 255, 7, 0, 0, 0, 0]);
        message.extend([8, 0, 1, 0]);
        message.extend(to.octets());
        let sent = [
            socket as usize,
            message.as_ptr() as usize,
            message.len(),
            0,
            0,
            0,
        ];
        call(libc::SYS_sendto, sent)?;
        let answer = [0i32; 64];
        call(
            libc::SYS_recvfrom,
            [
                socket as usize,
                address(&answer),
                size_of_val(&answer),
                0,
                0,
                0,
            ],
        )?;
        result = match answer[4] {
            0 => return Ok(()),
            number => Err(io::Error::from_raw_os_error(-number)),
        };
    }
    result
}

fn clouds(_: &Prize) -> io::Result<()> {
    let to = SocketAddr::from(([169, 254, 169, 254], 80));
    match TcpStream::connect_timeout(&to, SOON) {
        Err(e) if e.raw_os_error() == Some(libc::EHOSTUNREACH) => Err(e),
        _ => Ok(()),
    }
}
