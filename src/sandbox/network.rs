//! The network that programs of an environment see.
//!
//! *Private*: a network namespace connected in user space by slirp4netns. Programs reach the rest of the
//! network with this machine's addresses, and this machine itself only at the admitted addresses and ports.
//! Only IPv4 is connected. *Host*: this machine's own network, used as an unprivileged user. The caller decides
//! which one an environment gets.

mod connection;
mod gate;
mod netlink;

use std::fmt;
use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

pub(super) use connection::Connection;

use crate::failure::Failure;
use crate::fs::server_packages;

/// Which network programs see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A network of their own; of this machine only these services are reachable, by TCP, and by UDP on port 53.
    Private(Vec<SocketAddrV4>),
    /// This machine's.
    Host,
}

/// The property value for this machine's network.
const HOST: &str = "host";
/// The first word of every other value.
const PRIVATE: &str = "private";

/// The port of name servers.
const DNS: u16 = 53;

impl FromStr for Network {
    type Err = String;

    /// Takes `private`, `private,ADDR:PORT,…` and `host`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        match parts.next() {
            Some(HOST) if parts.next().is_none() => Ok(Self::Host),
            Some(PRIVATE) => parts
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

/// Where distributions install it; `PATH` is not used, because it is the caller's.
const SLIRP_PATHS: &[&str] = &[
    "/usr/bin/slirp4netns",
    "/usr/local/bin/slirp4netns",
    "/bin/slirp4netns",
    "/run/current-system/sw/bin/slirp4netns",
];
/// The device by which slirp4netns makes its end of the connection.
const TUN: &str = "/dev/net/tun";

fn slirp() -> Option<PathBuf> {
    let is_executable = |path: &&Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    SLIRP_PATHS
        .iter()
        .map(Path::new)
        .find(is_executable)
        .map(Into::into)
}

impl Network {
    /// Refuses a network that this machine cannot provide, with a hint what to install.
    pub fn check(&self) -> anyhow::Result<()> {
        if *self == Self::Host {
            return Ok(());
        }
        let instead = "or let it use this machine's own network (netbe set upgrade.network=host)";
        if slirp().is_none() {
            let why = "a private network needs slirp4netns, which is not installed";
            let hint = server_packages::install("slirp4netns");
            return Err(Failure::refused(why)
                .hint_to(format!("install it, {instead}"), hint)
                .into());
        }
        if !fs::exists(TUN).with_context(|| format!("looking for {TUN}"))? {
            let why = format!("a private network needs {TUN}, which this machine lacks");
            let does = format!("load it, {instead}");
            return Err(Failure::refused(why).hint_to(does, "modprobe tun").into());
        }
        Ok(())
    }

    /// Returns the sandbox's `/etc/resolv.conf`, made from this machine's.
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
            // slirp4netns forwards questions to this machine's name server, also where that is this machine.
            text.push_str(&format!("nameserver {}\n", range.resolver()));
        }
        let is_about_names = |line: &&str| {
            let word = line.split_whitespace().next();
            matches!(word, Some("search" | "domain" | "options"))
        };
        for line in servers.unwrap_or_default().lines().filter(is_about_names) {
            text.push_str(line);
            text.push('\n');
        }
        Some(text)
    }
}

/// The connection's 256 addresses: slirp4netns takes .2 and .3, the namespace .100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range([u8; 3]);

/// slirp4netns' default, and alternatives for networks that use that one.
const RANGES: &[Range] = &[
    Range([10, 0, 2]),
    Range([10, 213, 77]),
    Range([172, 31, 233]),
    Range([192, 168, 251]),
];

impl Range {
    /// Returns a range to which this machine has no route.
    pub(super) fn choose() -> anyhow::Result<Self> {
        let routes = netlink::Route::open()?.routes()?;
        Ok(Self::free(&routes).unwrap_or(RANGES[0]))
    }

    fn free(routes: &[netlink::RouteEntry]) -> Option<Self> {
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
    fn a_network_has_one_spelling() {
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
    fn the_name_server_is_the_connections() {
        let servers = "nameserver 127.0.0.53\nsearch example.org\n# comment\noptions edns0\n";
        let resolver = |network: &str| {
            let network: Network = network.parse().unwrap();
            network.resolver(Some(servers), Some(&RANGES[0])).unwrap()
        };
        assert_eq!(resolver("host"), servers);
        let rest = "nameserver 10.0.2.3\nsearch example.org\noptions edns0\n";
        assert_eq!(resolver("private,127.0.0.1:80"), rest);
        let first = format!("nameserver 10.0.0.1\n{rest}");
        assert_eq!(resolver("private,10.0.0.1:53"), first);
    }

    #[test]
    fn a_connection_takes_a_range_without_a_route() {
        let route = |address: [u8; 4], length| netlink::RouteEntry {
            prefix: netlink::Prefix {
                address: address.into(),
                length,
            },
            is_local: false,
        };
        assert_eq!(Range::free(&[]), Some(RANGES[0]));
        let all = route([0, 0, 0, 0], 0);
        assert_eq!(Range::free(&[all]), Some(RANGES[0]));
        assert_eq!(Range::free(&[route([10, 0, 2, 15], 32)]), Some(RANGES[1]));
        assert_eq!(Range::free(&[route([10, 0, 0, 0], 8)]), Some(RANGES[2]));
    }
}
