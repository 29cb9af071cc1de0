//! Whether a transfer was made by the node, judged by the client's address.
//!
//! A transfer proves nothing: any host on the network can fetch, and forge an address. If a node's address is known, a
//! transfer to another address is not its boot; if it is not known, it may be. Not for conclusions from it.

use std::net::{IpAddr, Ipv4Addr};

use super::dnsmasq;
use crate::boot::Ip;
use crate::evidence::client::{Whose, sole_client};
use crate::pool::{Node, Pool};

/// Returns whether the node made a transfer; `None` if the address of the node's firmware is not known.
pub fn sender(pool: &Pool, node: &Node, client: &str) -> Option<Whose> {
    let its = firmware_address(pool, node)?;
    Some(if is(client, its) {
        Whose::Its
    } else {
        Whose::Others
    })
}

fn is(client: &str, address: Ipv4Addr) -> bool {
    client
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical() == IpAddr::V4(address))
}

/// Returns the address of a node's firmware.
///
/// A static address is that of the kernel: firmware has it only if this machine's dnsmasq assigns the addresses.
pub fn firmware_address(pool: &Pool, node: &Node) -> Option<Ipv4Addr> {
    match ip(node) {
        Some(Ip::Static { address, .. }) => dnsmasq::hands_out(pool).then_some(address),
        Some(Ip::Reserved(address)) => Some(address),
        Some(Ip::Dhcp) | None => sole_client(pool, node),
    }
}

fn ip(node: &Node) -> Option<Ip> {
    node.record.properties.get("ip")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_and_not_its_spelling() {
        let its: Ipv4Addr = "10.0.0.5".parse().expect("an address");
        for (client, same) in [
            ("10.0.0.5", true),
            ("::ffff:10.0.0.5", true),
            ("10.0.0.66", false),
            ("fe80::1", false),
            ("", false),
            ("10.0.0.5 ", false),
        ] {
            assert_eq!(is(client, its), same, "{client:?}");
        }
    }
}
