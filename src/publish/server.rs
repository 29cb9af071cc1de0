//! This machine as nodes see it: its address, and the network that is on.
//!
//! Not for changing either.

use std::net::Ipv4Addr;

use anyhow::Result;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::failure::Failure;
use crate::pool::properties;
use crate::pool::record::{NodeRecord, PoolRecord};

/// Returns the address nodes reach this machine by: the property `server`, else that of the interface
/// with the default route.
///
/// # Errors
/// When there is neither, with the command that sets it.
pub fn address(node: Option<&NodeRecord>, pool: &PoolRecord) -> Result<Ipv4Addr> {
    if let Some(set) = properties::effective("server", node, pool) {
        return Ok(set.value.parse()?);
    }
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    default_interface(&routes)
        .and_then(|name| address_of(&name))
        .ok_or_else(|| {
            Failure::failed("this machine has no default route to tell its address by")
                .hint("netbe set server=ADDRESS")
                .into()
        })
}

/// Returns the network the address is on, as `10.0.0.0/24`; the address alone where no interface has it.
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

/// Returns the interface of the default route in the text of `/proc/net/route`, the lowest metric first.
///
/// Format: Linux Documentation/filesystems/proc.rst; destination and mask are hex words.
fn default_interface(routes: &str) -> Option<String> {
    routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let zero = |i: usize| fields.get(i).is_some_and(|f| f.bytes().all(|b| b == b'0'));
            let metric: u32 = fields.get(6)?.parse().ok()?;
            (zero(1) && zero(7)).then(|| (metric, fields[0].to_string()))
        })
        .min()
        .map(|(_, name)| name)
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
        assert_eq!(default_interface(&all).as_deref(), Some("eth0"));
        assert_eq!(default_interface(&format!("{head}{net}")), None);
        assert_eq!(default_interface(""), None);
    }
}
