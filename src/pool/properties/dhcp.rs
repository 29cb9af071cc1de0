//! What dnsmasq does about DHCP: the values of the property `dhcp`.
//!
//! Text in, a type out. Not for what is written into dnsmasq's configuration.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// How many addresses a range may have: more than any network of machines in one room, and few enough
/// that a slip of the finger shows.
const MOST: u32 = 1 << 16;

/// What dnsmasq does about DHCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dhcp {
    /// Another server hands out addresses; ours adds what to boot.
    Proxy,
    /// Ours hands out the addresses from the first to the last, to every machine that asks.
    Range(Ipv4Addr, Ipv4Addr),
    /// No range: TFTP only, and the boot part where the administrator's own ranges answer.
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
            return Err(format!(
                "from {first} to {last} are more than {MOST} addresses"
            ));
        }
        Ok(Self::Range(first, last))
    }
}

fn host(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text
        .trim()
        .parse()
        .map_err(|_| format!("\"{text}\" is no IPv4 address"))?;
    if address.octets()[0] == 0 || address.is_loopback() || address.octets()[0] >= 224 {
        return Err(format!("{address} is no address a machine can have"));
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
