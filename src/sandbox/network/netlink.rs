//! Addresses and routes of the kernel, over netlink (rtnetlink(7)). IPv4 only.
//!
//! A netlink socket belongs to the namespace in which it was opened, also after its process has entered another.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, send};

use super::super::signals::retry_interrupted;

/// An address prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) address: Ipv4Addr,
    pub(super) length: u8,
}

impl Prefix {
    pub(super) const fn new(address: [u8; 4], length: u8) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: Ipv4Addr::new(a, b, c, d),
            length,
        }
    }

    /// Returns whether an address has both prefixes; false for the default route, which has every address.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let length = u32::from(self.length.min(other.length));
        let differ = self.address.to_bits() ^ other.address.to_bits();
        length > 0 && differ.leading_zeros() >= length
    }
}

/// A route of the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RouteEntry {
    pub(super) prefix: Prefix,
    /// Whether it is for an address of this machine.
    pub(super) is_local: bool,
}

/// A netlink socket for addresses and routes.
#[derive(Debug)]
pub(super) struct Route(OwnedFd);

/// linux/netlink.h, linux/rtnetlink.h, linux/xfrm.h, as far as it is needed here.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400 | 0x200;
const HEADER: usize = 16;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_POLICY: u16 = 0x13;
const INET: u8 = libc::AF_INET as u8;
/// The loopback device is the first in every namespace.
const LOOPBACK: u32 = 1;
const MAIN: u8 = 254;
const LOCAL: u8 = 2;
const UNREACHABLE: u8 = 7;
const DESTINATION: u16 = 1;
const ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;
/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV4_ROUTE`.
const CHANGES: u32 = 0x10 | 0x40;

impl Route {
    /// Opens one, of the namespace this thread is in.
    pub(super) fn open() -> io::Result<Self> {
        open(libc::NETLINK_ROUTE, 0).map(Self)
    }

    /// Opens a socket that receives a message for each change of addresses or routes.
    pub(super) fn open_for_changes() -> io::Result<Self> {
        open(libc::NETLINK_ROUTE, CHANGES).map(Self)
    }

    /// Waits for a change; [`Self::routes`] tells the new state.
    pub(super) fn wait_for_change(&self) -> io::Result<()> {
        let mut bytes = [0; 8192];
        let receive = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
        match retry_interrupted(receive) {
            // ENOBUFS: so many changes that messages were lost.
            Ok(_) | Err(Errno::ENOBUFS) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns all routes, those for this machine's own addresses included.
    pub(super) fn routes(&self) -> io::Result<Vec<RouteEntry>> {
        let body = [INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.send_message(GET_ROUTE, DUMP, &body)?;
        let mut routes = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        loop {
            let receive = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
            let length = retry_interrupted(receive)?;
            for (kind, body) in messages(&bytes[..length]) {
                match kind {
                    DONE => return Ok(routes),
                    ERROR => answer(body)?,
                    NEW_ROUTE => routes.extend(parse_route(body)),
                    _ => {}
                }
            }
        }
    }

    /// Makes these addresses unreachable.
    pub(super) fn forbid(&self, prefix: Prefix) -> io::Result<()> {
        let mut body = vec![
            INET,
            prefix.length,
            0,
            0,
            MAIN,
            4,
            0,
            UNREACHABLE,
            0,
            0,
            0,
            0,
        ];
        attribute(&mut body, DESTINATION, &prefix.address.octets());
        self.request(NEW_ROUTE, CREATE, &body)
    }

    /// Brings the loopback device up.
    pub(super) fn loopback_up(&self) -> io::Result<()> {
        let mut body = vec![0; 4];
        // The device, its flags and the mask of flags to change: IFF_UP.
        for word in [LOOPBACK, 1, 1] {
            body.extend(word.to_ne_bytes());
        }
        self.request(NEW_LINK, 0, &body)
    }

    /// Adds an address to the loopback device.
    pub(super) fn add_address(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut body = vec![INET, 32, 0, 0];
        body.extend(LOOPBACK.to_ne_bytes());
        attribute(&mut body, LOCAL_ADDRESS, &address.octets());
        attribute(&mut body, ADDRESS, &address.octets());
        self.request(NEW_ADDRESS, CREATE, &body)
    }

    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.send_message(kind, flags | ACKNOWLEDGE, body)?;
        let mut bytes = [0; 8192];
        let receive = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
        let length = retry_interrupted(receive)?;
        let error = messages(&bytes[..length]).find(|(kind, _)| *kind == ERROR);
        match error.map_or(Ok(()), |(_, body)| answer(body)) {
            // Present already.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            answered => answered,
        }
    }

    fn send_message(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((flags | REQUEST).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        retry_interrupted(|| send(self.0.as_raw_fd(), &message, MsgFlags::empty()))?;
        Ok(())
    }
}

/// A second block of unreachable addresses, where the kernel has XFRM: a socket bound to a device bypasses
/// routes for multicast.
#[derive(Debug)]
pub(super) struct Policy(Route);

impl Policy {
    /// Opens one, of the namespace this thread is in.
    pub(super) fn open() -> io::Result<Self> {
        open(libc::NETLINK_XFRM, 0).map(|fd| Self(Route(fd)))
    }

    /// Blocks packets to these addresses on every device but loopback.
    pub(super) fn forbid(&self, prefix: Prefix) -> io::Result<()> {
        self.0.request(NEW_POLICY, CREATE, &policy(prefix))
    }
}

/// `struct xfrm_userpolicy_info`.
fn policy(prefix: Prefix) -> Vec<u8> {
    let mut body = prefix.address.octets().to_vec();
    // The rest of the destination, source, ports and their masks: any.
    body.resize(40, 0);
    body.extend(u16::from(INET).to_ne_bytes());
    body.extend([prefix.length, 0, 0, 0, 0, 0]);
    body.extend([0; 8]);
    // No limit by bytes, packets or time; no use so far.
    body.extend([0xff; 32]);
    body.extend([0; 32 + 32]);
    // Priority and index; direction out, action block.
    body.extend([0; 8]);
    body.extend([1, 1, 0, 0]);
    body.extend([0; 4]);
    body
}

#[allow(unsafe_code)]
fn open(protocol: libc::c_int, groups: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers and returns a descriptor.
    let raw = Errno::result(unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) })?;
    // SAFETY: the kernel has just returned it, so nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let address = nix::sys::socket::NetlinkAddr::new(0, groups);
    nix::sys::socket::bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8; 4]) {
    body.extend(8u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// Returns type and body of each message in a datagram; ends at a malformed one.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(bytes, 0)?).ok()?;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Returns the error of an acknowledgement, if its number is not 0.
fn answer(body: &[u8]) -> io::Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) | None => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// Parses a route message; `None` for what is not an IPv4 route.
fn parse_route(body: &[u8]) -> Option<RouteEntry> {
    let [INET, length, ..] = *body else {
        return None;
    };
    let is_local = *body.get(7)? == LOCAL;
    let mut rest = body.get(12..)?;
    let mut address = Ipv4Addr::UNSPECIFIED;
    while let Some(size) = rest.get(..2) {
        let size = usize::from(u16::from_ne_bytes(size.try_into().ok()?));
        let value = rest.get(4..size)?;
        if rest.get(2..4)? == DESTINATION.to_ne_bytes() {
            address = <[u8; 4]>::try_from(value).ok()?.into();
        }
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(RouteEntry {
        prefix: Prefix { address, length },
        is_local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_the_kernels_length() {
        assert_eq!(policy(Prefix::new([224, 0, 0, 0], 4)).len(), 168);
    }

    #[test]
    fn routes_include_this_machines_own_addresses() {
        let routes = Route::open().unwrap().routes().unwrap();
        let itself = Prefix::new([127, 0, 0, 1], 32);
        assert!(
            routes
                .iter()
                .any(|r| r.is_local && r.prefix.overlaps(itself)),
            "{routes:?}"
        );
    }

    #[test]
    fn a_truncated_message_is_not_parsed() {
        let mut body = vec![INET, 24, 0, 0, MAIN, 4, 0, LOCAL, 0, 0, 0, 0];
        attribute(&mut body, DESTINATION, &[10, 0, 0, 1]);
        assert_eq!(
            parse_route(&body).unwrap().prefix,
            Prefix::new([10, 0, 0, 1], 24)
        );
        for length in 0..body.len() {
            let _ = parse_route(&body[..length]);
        }
        assert_eq!(messages(&[9, 0, 0]).count(), 0);
        assert_eq!(messages(&[255; 40]).count(), 0);
    }
}
