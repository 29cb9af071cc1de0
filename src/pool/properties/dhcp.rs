//! The values of the property `dhcp`.
//!
//! Pure. Not for dnsmasq's configuration.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// How many addresses a range may have: more than any network in one room, and few enough to catch a typing error.
const MOST: u32 = 1 << 16;

/// The DHCP mode of dnsmasq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dhcp {
    /// Another server assigns addresses; ours adds the boot settings.
    Proxy,
    /// Ours assigns the addresses from the first to the last, to every client.
    Range(Ipv4Addr, Ipv4Addr),
    /// No range: only the boot settings, for ranges that the administrator configures.
    Off,
}

impl fmt::Display for Dhcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy => f.write_str("proxy"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Off => f.write_str("off"),
        }
    }
}

impl FromStr for Dhcp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "proxy" => return Ok(Self::Proxy),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let (first, last) = text
            .split_once('-')
            .ok_or("it is neither proxy nor off nor FIRST-LAST")?;
        let (first, last) = (host(first)?, host(last)?);
        let Some(more) = last.to_bits().checked_sub(first.to_bits()) else {
            return Err(format!("{first} comes after {last}"));
        };
        if more >= MOST {
            return Err(format!("{first} to {last} is more than {MOST} addresses"));
        }
        Ok(Self::Range(first, last))
    }
}

fn host(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text
        .trim()
        .parse()
        .map_err(|_| format!("\"{text}\" is not an IPv4 address"))?;
    if address.octets()[0] == 0 || address.is_loopback() || address.octets()[0] >= 224 {
        return Err(format!("{address} cannot be the address of a machine"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for text in ["proxy", "off", "10.0.0.100-10.0.0.200", "10.0.0.5-10.0.0.5"] {
            assert_eq!(text.parse::<Dhcp>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "Proxy",
            "on",
            "10.0.0.1",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-",
            "10.0.0.0-10.9.0.0",
            "127.0.0.1-127.0.0.9",
            "10.0.0.1-10.0.0.9,12h",
            "10.0.0.1-10.0.0.9-10.0.0.11",
            "fe80::1-fe80::9",
            "10.0.0.1-10.0.0.9\nport=53",
        ] {
            assert!(bad.parse::<Dhcp>().is_err(), "{bad:?}");
        }
    }
}
