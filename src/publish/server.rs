//! The network of this machine: its address, router and DNS servers.
//!
//! Reads only.

use std::net::Ipv4Addr;

use anyhow::Result;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::failure::Failure;
use crate::pool::properties;
use crate::pool::record::{NodeRecord, PoolRecord};

/// Returns the address by which nodes reach this machine: the property `server`, else that of the interface with the
/// default route.
///
/// # Errors
/// If there is neither, with the command that sets it.
pub fn address(node: Option<&NodeRecord>, pool: &PoolRecord) -> Result<Ipv4Addr> {
    if let Some(set) = properties::effective("server", node, pool) {
        return Ok(set.value.parse()?);
    }
    by_default_route().ok_or_else(|| {
        Failure::failed("this machine has no default route, so its address is not known")
            .hint(to_set())
            .into()
    })
}

/// Returns the command that sets the address, with the first address that other machines can reach, if there is one.
fn to_set() -> String {
    let address = own_addresses()
        .into_iter()
        .find(|(_, at)| !at.is_loopback());
    address.map_or("ip address".to_string(), |(_, at)| {
        format!("netbe set server={at}")
    })
}

/// Returns the address of the interface with the default route.
pub fn by_default_route() -> Option<Ipv4Addr> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let (interface, _) = *default_routes(&routes).first()?;
    address_of(interface)
}

/// Returns every IPv4 address of this machine with its interface, also of interfaces that are down.
pub fn own_addresses() -> Vec<(String, Ipv4Addr)> {
    let mut found: Vec<(String, Ipv4Addr)> = getifaddrs().map_or_else(
        |_| Vec::new(),
        |all| {
            all.filter_map(|i| Some((i.interface_name, i.address?.as_sockaddr_in()?.ip())))
                .collect()
        },
    );
    if cfg!(debug_assertions) {
        // Addresses that tests give their servers are on no interface.
        let more = std::env::var("NETBE_TEST_ADDRESSES").unwrap_or_default();
        let more = more.split(',').filter_map(|a| a.parse().ok());
        found.extend(more.map(|address| ("test".to_string(), address)));
    }
    found
}

/// Returns the network of the address, as `10.0.0.0/24`; the address alone if no interface has it.
pub fn network(address: Ipv4Addr) -> String {
    let mask = interfaces()
        .into_iter()
        .find(|(_, a, _)| *a == address)
        .map(|(_, _, mask)| mask);
    match mask {
        Some(mask) => {
            let network = Ipv4Addr::from_bits(address.to_bits() & mask.to_bits());
            format!("{network}/{}", mask.to_bits().count_ones())
        }
        None => address.to_string(),
    }
}

/// Returns the router on the network of `server`; `None` without a default route on it.
pub fn router(server: Ipv4Addr) -> Option<Ipv4Addr> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    default_routes(&routes)
        .into_iter()
        .map(|(_, router)| router)
        .filter(|r| !r.is_unspecified())
        .find(|r| *r != server && is_on_network(*r, server) == Some(true))
}

/// Returns whether an address is on the network of `server`; `None` if no interface has that now.
pub fn is_on_network(address: Ipv4Addr, server: Ipv4Addr) -> Option<bool> {
    let (_, _, mask) = interfaces().into_iter().find(|(_, a, _)| *a == server)?;
    Some((address.to_bits() ^ server.to_bits()) & mask.to_bits() == 0)
}

/// Returns the DNS servers of this machine that other machines can use too.
///
/// For systemd-resolved's address on the loopback, those in its own file.
pub fn name_servers() -> Vec<Ipv4Addr> {
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .map(|path| servers_in(&std::fs::read_to_string(path).unwrap_or_default()))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// Returns the IPv4 servers in the text of a resolv.conf(5) that are not on the loopback.
fn servers_in(text: &str) -> Vec<Ipv4Addr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter(|a: &Ipv4Addr| !a.is_loopback() && !a.is_unspecified())
        .collect()
}

/// Returns interface and router of the default routes in the text of `/proc/net/route`, the lowest metric first; a router of
/// zeros where a route has none.
///
/// Format: Linux Documentation/filesystems/proc.rst; destination and mask are hex words.
fn default_routes(routes: &str) -> Vec<(&str, Ipv4Addr)> {
    let mut found: Vec<(u32, &str, Ipv4Addr)> = routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let zero = |i: usize| fields.get(i).is_some_and(|f| f.bytes().all(|b| b == b'0'));
            let metric: u32 = fields.get(6)?.parse().ok()?;
            // In network byte order, printed as a number in host byte order.
            let router = u32::from_str_radix(fields.get(2)?, 16).ok()?.to_ne_bytes();
            (zero(1) && zero(7)).then(|| (metric, fields[0], router.into()))
        })
        .collect();
    found.sort();
    let found = found.into_iter();
    found
        .map(|(_, interface, router)| (interface, router))
        .collect()
}

fn address_of(interface: &str) -> Option<Ipv4Addr> {
    interfaces()
        .into_iter()
        .find(|(name, _, _)| name == interface)
        .map(|(_, address, _)| address)
}

/// Returns name, address and mask of every IPv4 address of an interface that is up.
fn interfaces() -> Vec<(String, Ipv4Addr, Ipv4Addr)> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    all.filter(|i| i.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|i| {
            let address = i.address?.as_sockaddr_in()?.ip();
            let mask = i.netmask?.as_sockaddr_in()?.ip();
            Some((i.interface_name, address, mask))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric() {
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let net = "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let wifi = "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
        let wire = "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        let all = format!("{head}{net}{wifi}{wire}");
        let interfaces: Vec<&str> = default_routes(&all).iter().map(|r| r.0).collect();
        assert_eq!(interfaces, ["eth0", "wlan0"]);
        assert_eq!(default_routes(&format!("{head}{net}")), []);
        assert_eq!(default_routes(""), []);
        if cfg!(target_endian = "little") {
            let router = Ipv4Addr::new(10, 0, 0, 1);
            assert!(default_routes(&all).iter().all(|r| r.1 == router));
        }
    }

    #[test]
    fn name_servers_that_others_can_ask() {
        let text = "# made\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n nameserver fe80::1\nsearch lan\n\
             nameserver\t198.51.100.53\noptions edns0\n";
        let two = [
            Ipv4Addr::new(192, 0, 2, 53),
            Ipv4Addr::new(198, 51, 100, 53),
        ];
        assert_eq!(servers_in(text), two);
    }
}
