//! A node's address: the property `ip`, and the kernel argument.
//!
//! `192.168.1.21/24,192.168.1.1,eth0` becomes `ip=192.168.1.21::192.168.1.1:255.255.255.0:nog:eth0:off`. Values that
//! the kernel accepts but that reach nothing are errors. IPv4 only, as the kernel's NFS root.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::failure::Failure;

/// Longest interface name: `IFNAMSIZ` less the final NUL.
const DEVICE_LIMIT: usize = 15;

/// The source of a node's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ip {
    /// From a DHCP server.
    Dhcp,
    /// From a DHCP server, which reserves this address for the node.
    Reserved(Ipv4Addr),
    /// Fixed.
    Static {
        /// The node's address.
        address: Ipv4Addr,
        /// Prefix length, 1 to 32.
        prefix: u8,
        /// The default router, in the same network.
        gateway: Option<Ipv4Addr>,
        /// The network interface; `None` for the first that works.
        device: Option<String>,
    },
}

impl Ip {
    /// Returns the node's address; `None` if a DHCP server chooses it.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Dhcp => None,
            Self::Reserved(address) | Self::Static { address, .. } => Some(*address),
        }
    }

    /// Returns the kernel argument, `ip=dhcp` or `ip=ADDR::GATEWAY:NETMASK:HOSTNAME:DEVICE:off`.
    pub fn argument(&self, hostname: &str) -> String {
        match self {
            // The DHCP server knows a reserved address.
            Self::Dhcp | Self::Reserved(_) => "ip=dhcp".to_string(),
            Self::Static {
                address,
                prefix,
                gateway,
                device,
            } => format!(
                "ip={address}::{}:{}:{hostname}:{}:off",
                gateway.map(|g| g.to_string()).unwrap_or_default(),
                netmask(*prefix),
                device.as_deref().unwrap_or_default(),
            ),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, prefix, gateway, device) = match self {
            Self::Dhcp => return f.write_str("dhcp"),
            Self::Reserved(address) => return write!(f, "dhcp,{address}"),
            Self::Static {
                address,
                prefix,
                gateway,
                device,
            } => (address, prefix, gateway, device),
        };
        write!(f, "{address}/{prefix}")?;
        match (gateway, device) {
            (Some(gateway), _) => write!(f, ",{gateway}")?,
            (None, Some(_)) => f.write_str(",")?,
            (None, None) => {}
        }
        match device {
            Some(device) => write!(f, ",{device}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Ip {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if text == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let parsed = match text.strip_prefix("dhcp,") {
            Some(address) => host(address).map(Self::Reserved),
            None => parse_static(text),
        };
        parsed.map_err(|why| {
            Failure::usage(format!(
                "\"{text}\" is no value for ip: {why}; it is dhcp, dhcp,ADDR, or ADDR/LEN[,GATEWAY[,DEVICE]] such as \
                 192.168.1.21/24,192.168.1.1"
            ))
        })
    }
}

fn parse_static(text: &str) -> Result<Ip, String> {
    let mut parts = text.split(',');
    let (address, prefix) = parts
        .next()
        .and_then(|first| first.split_once('/'))
        .ok_or("it is neither dhcp nor ADDR/LEN")?;
    let address = host(address)?;
    if prefix.is_empty() || prefix.len() > 2 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("\"{prefix}\" is no prefix length"));
    }
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|p| (1..=32).contains(p))
        .ok_or(format!("a prefix length is 1 to 32, not {prefix}"))?;
    check_host_part(address, prefix)?;
    let (gateway, device, rest) = (parts.next(), parts.next(), parts.next());
    if rest.is_some() {
        return Err("there is something after the device".to_string());
    }
    let gateway = match gateway {
        // `ADDR/LEN,,DEVICE`: without a router.
        Some("") if device.is_some() => None,
        Some(text) => Some(router(text, address, prefix)?),
        None => None,
    };
    let device = device.map(interface).transpose()?;
    Ok(Ip::Static {
        address,
        prefix,
        gateway,
        device,
    })
}

fn host(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("\"{text}\" is no IPv4 address"))?;
    if address.octets()[0] == 0 || address.is_loopback() || address.octets()[0] >= 224 {
        return Err(format!("{address} is no address a machine can have"));
    }
    Ok(address)
}

fn router(text: &str, address: Ipv4Addr, prefix: u8) -> Result<Ipv4Addr, String> {
    let gateway = host(text)?;
    let mask = u32::from(netmask(prefix));
    // The kernel silently drops a default route to a router that it cannot reach directly.
    if (u32::from(gateway) ^ u32::from(address)) & mask != 0 {
        return Err(format!(
            "{gateway} is not in the network of {address}/{prefix}"
        ));
    }
    if gateway == address {
        return Err(format!("{gateway} is both the node and its router"));
    }
    check_host_part(gateway, prefix)?;
    Ok(gateway)
}

fn check_host_part(address: Ipv4Addr, prefix: u8) -> Result<(), String> {
    let host = u32::from(address) & !u32::from(netmask(prefix));
    if prefix < 31 && (host == 0 || host == !u32::from(netmask(prefix))) {
        return Err(format!(
            "{address} is an end of its network, not a machine in it"
        ));
    }
    Ok(())
}

fn interface(text: &str) -> Result<String, String> {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    if text.is_empty() || text.len() > DEVICE_LIMIT || !text.bytes().all(is_valid) {
        return Err(format!("\"{text}\" is no network interface"));
    }
    Ok(text.to_string())
}

fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_have_the_kernels_format() {
        for (text, argument) in [
            ("dhcp", "ip=dhcp"),
            ("dhcp,192.168.1.21", "ip=dhcp"),
            (
                "192.168.1.21/24",
                "ip=192.168.1.21:::255.255.255.0:nog::off",
            ),
            (
                "192.168.1.21/24,192.168.1.1",
                "ip=192.168.1.21::192.168.1.1:255.255.255.0:nog::off",
            ),
            (
                "10.46.189.2/30,10.46.189.1,eth0",
                "ip=10.46.189.2::10.46.189.1:255.255.255.252:nog:eth0:off",
            ),
            (
                "10.0.0.2/31,,eth0",
                "ip=10.0.0.2:::255.255.255.254:nog:eth0:off",
            ),
        ] {
            let ip: Ip = text.parse().unwrap();
            assert_eq!(ip.argument("nog"), argument, "{text}");
            assert_eq!(ip.to_string(), text);
        }
    }

    #[test]
    fn unusable_addresses_are_refused() {
        for text in [
            "",
            "DHCP",
            "dhcp,",
            "dhcp,192.168.1.21/24",
            "dhcp,192.168.1.21,x",
            "dhcp,127.0.0.1",
            "192.168.1.21",
            "192.168.1.21/",
            "192.168.1.21/0",
            "192.168.1.21/33",
            "192.168.1.21/+4",
            "192.168.1.21/024",
            "192.168.01.21/24",
            "192.168.1.0/24",
            "192.168.1.255/24",
            "127.0.0.1/8",
            "0.0.0.0/8",
            "224.0.0.5/24",
            "192.168.1.21/24,",
            "192.168.1.21/24,192.168.2.1",
            "192.168.1.21/24,192.168.1.21",
            "192.168.1.21/24,192.168.1.1,",
            "192.168.1.21/24,192.168.1.1,eth0:1",
            "192.168.1.21/24,192.168.1.1,eth0,x",
            "192.168.1.21/24,192.168.1.1,a-name-of-16-byte",
            " 192.168.1.21/24",
            "fe80::1/64",
        ] {
            assert!(text.parse::<Ip>().is_err(), "{text:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(dhcp,)?[0-9./,a-z]{0,40}") {
            if let Ok(ip) = text.parse::<Ip>() {
                prop_assert_eq!(ip.to_string().parse::<Ip>().unwrap(), ip);
            }
        }
    }
}
