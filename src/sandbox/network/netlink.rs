//! What the kernel is told and asked about addresses and routes, over netlink (rtnetlink(7)).
//!
//! A socket belongs to the namespace it was made in, wherever its process has gone since. IPv4 only.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, send};

use super::super::signals::whatever_comes;

/// Addresses that begin alike.
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

    /// Returns whether some address begins as both do; one that all do is nobody's in particular.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let length = u32::from(self.length.min(other.length));
        let differ = self.address.to_bits() ^ other.address.to_bits();
        length > 0 && differ.leading_zeros() >= length
    }
}

/// A route there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) prefix: Prefix,
    /// Whether it leads to this machine itself.
    pub(super) is_own: bool,
}

/// A socket to ask and tell by.
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

    /// Opens one that is told whenever addresses or routes change.
    pub(super) fn open_for_changes() -> io::Result<Self> {
        open(libc::NETLINK_ROUTE, CHANGES).map(Self)
    }

    /// Waits until something has changed; what, is to be asked.
    pub(super) fn wait_for_change(&self) -> io::Result<()> {
        let mut bytes = [0; 8192];
        let heard = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
        match whatever_comes(heard) {
            // So many that some were lost.
            Ok(_) | Err(Errno::ENOBUFS) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns every route there is, those to this machine's own addresses among them.
    pub(super) fn routes(&self) -> io::Result<Vec<Known>> {
        let body = [INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.tell(GET_ROUTE, DUMP, &body)?;
        let mut routes = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        loop {
            let heard = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
            let length = whatever_comes(heard)?;
            for (kind, body) in messages(&bytes[..length]) {
                match kind {
                    DONE => return Ok(routes),
                    ERROR => answer(body)?,
                    NEW_ROUTE => routes.extend(known(body)),
                    _ => {}
                }
            }
        }
    }

    /// Makes these addresses lead nowhere.
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
        self.ask(NEW_ROUTE, CREATE, &body)
    }

    /// Brings the loopback device up.
    pub(super) fn loopback_up(&self) -> io::Result<()> {
        let mut body = vec![0; 4];
        // Which one, and of its flags IFF_UP.
        for word in [LOOPBACK, 1, 1] {
            body.extend(word.to_ne_bytes());
        }
        self.ask(NEW_LINK, 0, &body)
    }

    /// Gives the loopback device an address.
    pub(super) fn own(&self, address: Ipv4Addr) -> io::Result<()> {
        let mut body = vec![INET, 32, 0, 0];
        body.extend(LOOPBACK.to_ne_bytes());
        attribute(&mut body, LOCAL_ADDRESS, &address.octets());
        attribute(&mut body, ADDRESS, &address.octets());
        self.ask(NEW_ADDRESS, CREATE, &body)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.tell(kind, flags | ACKNOWLEDGE, body)?;
        let mut bytes = [0; 8192];
        let heard = || recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty());
        let length = whatever_comes(heard)?;
        let said = messages(&bytes[..length]).find(|(kind, _)| *kind == ERROR);
        match said.map_or(Ok(()), |(_, body)| answer(body)) {
            // It is so already.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            answered => answered,
        }
    }

    fn tell(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((flags | REQUEST).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        whatever_comes(|| send(self.0.as_raw_fd(), &message, MsgFlags::empty()))?;
        Ok(())
    }
}

/// A second lock on what leads nowhere, where the kernel has it: a socket that names the device to go by is sent past
/// routes where it asks for many at once (multicast).
#[derive(Debug)]
pub(super) struct Policy(Route);

impl Policy {
    /// Opens one, of the namespace this thread is in.
    pub(super) fn open() -> io::Result<Self> {
        open(libc::NETLINK_XFRM, 0).map(|fd| Self(Route(fd)))
    }

    /// Has everything refused that is sent to these addresses by another device than loopback.
    pub(super) fn forbid(&self, prefix: Prefix) -> io::Result<()> {
        self.0.ask(NEW_POLICY, CREATE, &policy(prefix))
    }
}

/// `struct xfrm_userpolicy_info`.
fn policy(prefix: Prefix) -> Vec<u8> {
    let mut body = prefix.address.octets().to_vec();
    // The rest of the address, the source's, ports and their masks: any.
    body.resize(40, 0);
    body.extend(u16::from(INET).to_ne_bytes());
    body.extend([prefix.length, 0, 0, 0, 0, 0]);
    body.extend([0; 8]);
    // Without an end by bytes or packets, and none by time; used by nobody yet.
    body.extend([0xff; 32]);
    body.extend([0; 32 + 32]);
    // Priority, number; outwards, refused.
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

/// Takes a datagram apart: the kind and body of each message; ends at one that makes no sense.
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

/// The answer of an error message; no number means none.
fn answer(body: &[u8]) -> io::Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) | None => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// Returns the route a message tells of; `None` for what is no IPv4 route.
fn known(body: &[u8]) -> Option<Known> {
    let [INET, length, ..] = *body else {
        return None;
    };
    let is_own = *body.get(7)? == LOCAL;
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
    Some(Known {
        prefix: Prefix { address, length },
        is_own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_as_long_as_the_kernel_wants_it() {
        assert_eq!(policy(Prefix::new([224, 0, 0, 0], 4)).len(), 168);
    }

    #[test]
    fn this_machine_has_itself_among_its_routes() {
        let routes = Route::open().unwrap().routes().unwrap();
        let itself = Prefix::new([127, 0, 0, 1], 32);
        assert!(
            routes.iter().any(|r| r.is_own && r.prefix.overlaps(itself)),
            "{routes:?}"
        );
    }

    #[test]
    fn what_is_cut_short_tells_nothing() {
        let mut body = vec![INET, 24, 0, 0, MAIN, 4, 0, LOCAL, 0, 0, 0, 0];
        attribute(&mut body, DESTINATION, &[10, 0, 0, 1]);
        assert_eq!(known(&body).unwrap().prefix, Prefix::new([10, 0, 0, 1], 24));
        for length in 0..body.len() {
            let _ = known(&body[..length]);
        }
        assert_eq!(messages(&[9, 0, 0]).count(), 0);
        assert_eq!(messages(&[255; 40]).count(), 0);
    }
}
