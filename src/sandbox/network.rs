//! The network that programs of an environment see.
//!
//! *Private*: a network namespace with a connection made in user space by slirp4netns. From there the rest of the
//! network is reached, as anybody on this machine may; this machine itself is not, at none of its addresses, but for
//! what is admitted by address and port. *Host*: this machine's own, as an ordinary user of it. Only IPv4 leads out of
//! a private one. Not for which one an environment has.

mod connection;
mod gate;
mod netlink;

use std::fmt;
use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(super) use connection::Connection;

use crate::failure::Failure;

/// Which network programs see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// One of their own; of this machine nothing but these is reached from there, by TCP, and by UDP at port 53.
    Private(Vec<SocketAddrV4>),
    /// This machine's.
    Host,
}

/// The one value that stands for this machine's own.
const HOST: &str = "host";
/// What every other value begins with.
const PRIVATE: &str = "private";

/// The port of name servers.
const DNS: u16 = 53;

impl FromStr for Network {
    type Err = String;

    /// Takes `private`, `private,ADDR:PORT,…` and `host`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::trim);
        match words.next() {
            Some(HOST) if words.next().is_none() => Ok(Self::Host),
            Some(PRIVATE) => words
                .map(service)
                .collect::<Result<_, _>>()
                .map(Self::Private),
            _ => Err("neither private, private,ADDR:PORT nor host".to_string()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str(HOST),
            Self::Private(admitted) => {
                f.write_str(PRIVATE)?;
                admitted
                    .iter()
                    .try_for_each(|service| write!(f, ",{service}"))
            }
        }
    }
}

fn service(text: &str) -> Result<SocketAddrV4, String> {
    let service: SocketAddrV4 = text.parse().map_err(|_| {
        format!("{text:?} is not an IPv4 address and a port, such as 127.0.0.1:3142")
    })?;
    let address = service.ip();
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err(format!("{address} is not an address of one machine"));
    }
    if service.port() == 0 {
        return Err(format!("{text:?} names no port"));
    }
    Ok(service)
}

/// Where distributions have it; not by `PATH`, which is the caller's.
const TOOL: &[&str] = &[
    "/usr/bin/slirp4netns",
    "/usr/local/bin/slirp4netns",
    "/bin/slirp4netns",
    "/run/current-system/sw/bin/slirp4netns",
];
/// What it makes its end of the connection by.
const TUN: &str = "/dev/net/tun";

fn tool() -> Option<PathBuf> {
    let can_be_run = |path: &&Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    TOOL.iter().map(Path::new).find(can_be_run).map(Into::into)
}

impl Network {
    /// Refuses where it cannot be had here, naming what to install.
    pub fn check(&self) -> anyhow::Result<()> {
        if *self == Self::Host {
            return Ok(());
        }
        let instead = "netbe set upgrade.network=host lends this machine's own network";
        if tool().is_none() {
            let why = "a network apart needs slirp4netns, which is not installed";
            let hint = format!("apt-get install slirp4netns (its name everywhere), or: {instead}");
            return Err(Failure::refused(why).hint(hint).into());
        }
        if !Path::new(TUN).exists() {
            let why = format!("a network apart needs {TUN}, which this machine has not");
            let hint = format!("modprobe tun, or: {instead}");
            return Err(Failure::refused(why).hint(hint).into());
        }
        Ok(())
    }

    /// Returns what `/etc/resolv.conf` has to say inside, from what it says on this machine.
    pub(super) fn resolver(
        &self,
        servers: Option<&str>,
        connection: Option<&Range>,
    ) -> Option<String> {
        let Self::Private(admitted) = self else {
            return servers.map(str::to_string);
        };
        let mut text = String::new();
        for service in admitted.iter().filter(|service| service.port() == DNS) {
            text.push_str(&format!("nameserver {}\n", service.ip()));
        }
        if let Some(range) = connection {
            // It asks whom this machine asks, also where that is this machine itself.
            text.push_str(&format!("nameserver {}\n", range.resolver()));
        }
        let about_names = |line: &&str| {
            let word = line.split_whitespace().next();
            matches!(word, Some("search" | "domain" | "options"))
        };
        for line in servers.unwrap_or_default().lines().filter(about_names) {
            text.push_str(line);
            text.push('\n');
        }
        Some(text)
    }
}

/// The addresses of a connection: 256, of which the tool takes .2 and .3, and gives .100 to the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range([u8; 3]);

/// The tool's own choice, and others for networks that have that one.
const RANGES: &[Range] = &[
    Range([10, 0, 2]),
    Range([10, 213, 77]),
    Range([172, 31, 233]),
    Range([192, 168, 251]),
];

impl Range {
    /// Returns one that this machine reaches nobody by.
    pub(super) fn choose() -> anyhow::Result<Self> {
        let routes = netlink::Route::open()?.routes()?;
        Ok(Self::free(&routes).unwrap_or(RANGES[0]))
    }

    fn free(routes: &[netlink::Known]) -> Option<Self> {
        let taken = |range: &Self| {
            routes
                .iter()
                .any(|route| route.prefix.overlaps(range.prefix()))
        };
        RANGES.iter().copied().find(|range| !taken(range))
    }

    fn prefix(self) -> netlink::Prefix {
        let [a, b, c] = self.0;
        netlink::Prefix {
            address: [a, b, c, 0].into(),
            length: 24,
        }
    }

    fn resolver(self) -> std::net::Ipv4Addr {
        let [a, b, c] = self.0;
        [a, b, c, 3].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_spelled_one_way() {
        for (text, spelled) in [
            ("private", Ok("private")),
            ("host", Ok("host")),
            ("private,127.0.0.1:3142", Ok("private,127.0.0.1:3142")),
            (
                "private, 10.0.0.1:53,127.0.0.1:80",
                Ok("private,10.0.0.1:53,127.0.0.1:80"),
            ),
            ("host,10.0.0.1:80", Err(())),
            ("private,10.0.0.1", Err(())),
            ("private,mirror:80", Err(())),
            ("private,0.0.0.0:80", Err(())),
            ("private,224.0.0.1:80", Err(())),
            ("private,10.0.0.1:0", Err(())),
            ("private,[::1]:80", Err(())),
            ("private,", Err(())),
            ("", Err(())),
        ] {
            let parsed = text.parse::<Network>().map(|n| n.to_string());
            assert_eq!(parsed.as_deref().map_err(|_| ()), spelled, "{text}");
        }
    }

    #[test]
    fn names_are_asked_for_where_the_connection_answers() {
        let servers = "nameserver 127.0.0.53\nsearch example.org\n# said\noptions edns0\n";
        let told = |network: &str| {
            let network: Network = network.parse().unwrap();
            network.resolver(Some(servers), Some(&RANGES[0])).unwrap()
        };
        assert_eq!(told("host"), servers);
        let rest = "nameserver 10.0.2.3\nsearch example.org\noptions edns0\n";
        assert_eq!(told("private,127.0.0.1:80"), rest);
        let first = format!("nameserver 10.0.0.1\n{rest}");
        assert_eq!(told("private,10.0.0.1:53"), first);
    }

    #[test]
    fn a_connection_takes_addresses_that_nobody_is_reached_by() {
        let route = |address: [u8; 4], length| netlink::Known {
            prefix: netlink::Prefix {
                address: address.into(),
                length,
            },
            is_own: false,
        };
        assert_eq!(Range::free(&[]), Some(RANGES[0]));
        let all = route([0, 0, 0, 0], 0);
        assert_eq!(Range::free(&[all]), Some(RANGES[0]));
        assert_eq!(Range::free(&[route([10, 0, 2, 15], 32)]), Some(RANGES[1]));
        assert_eq!(Range::free(&[route([10, 0, 0, 0], 8)]), Some(RANGES[2]));
    }
}
