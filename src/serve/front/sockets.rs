//! The sockets of the network process.
//!
//! A client is answered from the address that it sent its request to, whatever other addresses this machine has.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, getsockopt, recvmsg, sendmsg,
    setsockopt, sockopt,
};

use crate::serve::packet::{BLOCK, REQUEST_MAX};

/// Size of the headers of a data packet: IPv4, UDP, TFTP.
const HEADERS: i32 = 20 + 8 + 4;

/// The socket for requests.
#[derive(Debug)]
pub(super) struct Listener(UdpSocket);

/// A received packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) client: SocketAddrV4,
    /// The local address.
    pub(super) local: Ipv4Addr,
    /// Its length in bytes.
    pub(super) bytes: usize,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    pub(super) fn new(socket: UdpSocket) -> Result<Self> {
        socket
            .set_nonblocking(true)
            .context("preparing the socket")?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("asking for addresses")?;
        Ok(Self(socket))
    }

    /// Receives the next packet into a buffer; `None` if there is none.
    pub(super) fn next(&self, buffer: &mut [u8]) -> Result<Option<Arrival>> {
        loop {
            let buffer = &mut buffer[..REQUEST_MAX];
            let mut parts = [IoSliceMut::new(buffer)];
            let mut space = cmsg_space!(libc::in_pktinfo);
            let received = match recvmsg::<SockaddrIn>(
                self.0.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                MsgFlags::empty(),
            ) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                // The error of an earlier answer that could not be delivered.
                Err(
                    Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH,
                ) => continue,
                Err(e) => return Err(e).context("taking a request"),
            };
            let cut = received.flags.contains(MsgFlags::MSG_TRUNC);
            let mut to = None;
            for message in received.cmsgs().context("taking a request")? {
                if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
                    to = Some((address(info.ipi_addr), address(info.ipi_spec_dst)));
                }
            }
            let (Some((to, local)), Some(from)) = (to, received.address) else {
                continue;
            };
            let client = SocketAddrV4::new(from.ip(), from.port());
            // Ignore broadcasts (RFC 1123, 4.2.3.4), and packets from port 0 or multicast addresses.
            let is_unicast =
                client.port() != 0 && !client.ip().is_multicast() && !client.ip().is_broadcast();
            if cut || to != local || !is_unicast {
                continue;
            }
            return Ok(Some(Arrival {
                client,
                local,
                bytes: received.bytes,
            }));
        }
    }

    /// Answers from the port of requests; delivery is not checked.
    pub(super) fn answer(&self, client: SocketAddrV4, local: Ipv4Addr, packet: &[u8]) {
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from_ne_bytes(local.octets()),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let _ = sendmsg(
            self.0.as_raw_fd(),
            &[IoSlice::new(packet)],
            &[ControlMessage::Ipv4PacketInfo(&info)],
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrIn::from(client)),
        );
    }
}

fn address(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(address.s_addr.to_ne_bytes())
}

/// Returns a socket with a port of its own that receives from the client only.
pub(super) fn to_client(local: Ipv4Addr, client: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(client)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Returns the largest block without IP fragmentation: much firmware does not reassemble packets.
pub(super) fn largest_block(socket: &UdpSocket) -> u16 {
    match getsockopt(socket, sockopt::IpMtu) {
        Ok(mtu) => u16::try_from((mtu - HEADERS).clamp(BLOCK.into(), 65464)).unwrap_or(BLOCK),
        Err(_) => 1468,
    }
}
