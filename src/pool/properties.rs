//! Properties: which there are, what values they take, where a value comes from.
//!
//! A node's own value goes before the pool's, and that before the default. Values are checked and
//! brought to one spelling on the way in. Pure: not for storing them, nor for what follows a change.

use std::net::Ipv4Addr;

use crate::boot::{Ip, Loader, NfsVersion};
use crate::failure::Failure;

use super::record::{NodeRecord, PoolRecord};

/// One property there is.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it is, one line.
    pub help: &'static str,
    /// What its values look like.
    pub value: &'static str,
    /// What holds where nobody says anything, as a person reads it; `-` for nothing.
    pub default: &'static str,
    /// Whether the pool can have it, for every node.
    pub pool_wide: bool,
    normalise: fn(&str) -> Result<String, String>,
}

/// Every property, in the order `get` prints them.
pub const ALL: &[Property] = &[
    Property {
        name: "server",
        help: "address of this machine, as nodes see it",
        value: "IPv4 address",
        default: "address on the default route",
        pool_wide: true,
        normalise: address,
    },
    Property {
        name: "mac",
        help: "MAC addresses the node asks by",
        value: "one or more, comma-separated, any common spelling",
        default: "-",
        pool_wide: false,
        normalise: macs,
    },
    Property {
        name: "serial",
        help: "Raspberry Pi serial the node asks by",
        value: "the low 8 hex digits",
        default: "-",
        pool_wide: false,
        normalise: serial,
    },
    Property {
        name: "ip",
        help: "how the node gets its address",
        value: "dhcp, or ADDR/LEN[,GATEWAY[,DEVICE]]",
        default: "dhcp",
        pool_wide: false,
        normalise: ip,
    },
    Property {
        name: "clients",
        help: "who may mount the node's environments",
        value: "addresses, networks or host names, comma-separated",
        default: "the node's ip, else the server's own network",
        pool_wide: true,
        normalise: clients,
    },
    Property {
        name: "loader",
        help: "what reads the boot files",
        value: "rpi, pxelinux",
        default: "recognised from the boot files",
        pool_wide: true,
        normalise: loader,
    },
    Property {
        name: "root",
        help: "where the node's root is",
        value: "nfs, PARTUUID=…, UUID=…, LABEL=…",
        default: "nfs",
        pool_wide: true,
        normalise: root,
    },
    Property {
        name: "nfs.version",
        help: "NFS version the root is mounted with",
        value: "3, 4.1, 4.2",
        default: "what the environment's own boot path can mount",
        pool_wide: true,
        normalise: nfs_version,
    },
    Property {
        name: "nfs.options",
        help: "more mount options for the root",
        value: "comma-separated, such as actimeo=120",
        default: "-",
        pool_wide: true,
        normalise: nfs_options,
    },
    Property {
        name: "cmdline",
        help: "kernel arguments added to those the boot files bring",
        value: "arguments, blank-separated",
        default: "-",
        pool_wide: true,
        normalise: cmdline,
    },
    Property {
        name: "upgrade.command",
        help: "replaces the distribution's full upgrade",
        value: "a shell command, run by /bin/sh -c inside",
        default: "by distribution",
        pool_wide: true,
        normalise: one_line,
    },
];

/// Where a property's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The node's own.
    Local,
    /// The pool's, for every node.
    Pool,
    /// Nobody said anything.
    Default,
}

impl Source {
    /// Returns the word `get` prints.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pool => "pool",
            Self::Default => "default",
        }
    }
}

/// A value that somebody set, with who it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value, in its one spelling.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Returns the property of that name.
///
/// # Errors
/// A usage failure naming those there are.
pub fn find(name: &str) -> Result<&'static Property, Failure> {
    ALL.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|p| p.name).collect();
        Failure::usage(format!("there is no property {name:?}"))
            .hint(format!("properties are {}", names.join(", ")))
    })
}

impl Property {
    /// Returns a value in its one spelling; the empty value takes a setting away.
    ///
    /// # Errors
    /// A usage failure saying what values look like.
    pub fn normalise(&self, value: &str) -> Result<String, Failure> {
        if value.is_empty() {
            return Ok(String::new());
        }
        (self.normalise)(value).map_err(|why| {
            Failure::usage(format!("{}={value}: {why}", self.name))
                .hint(format!("{} is {}: {}", self.name, self.help, self.value))
        })
    }
}

/// Returns the value somebody set; `None` where the default holds.
pub fn effective(name: &str, node: Option<&NodeRecord>, pool: &PoolRecord) -> Option<Value> {
    let local = node
        .and_then(|n| n.properties.get(name))
        .map(|v| (v, Source::Local));
    let (value, source) = local.or_else(|| pool.properties.get(name).map(|v| (v, Source::Pool)))?;
    Some(Value {
        value: value.clone(),
        source,
    })
}

/// Returns a MAC address as `dc:a6:32:01:02:03` from any common spelling of it.
///
/// Colons, dashes, Cisco's dots, none at all; an ARP type in front (`01-…`), as PXELINUX writes it, goes.
pub fn mac(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split([':', '-', '.']).collect();
    let digits = match groups.len() {
        // One-digit groups, as some systems print them, get their zero back.
        6 => groups
            .iter()
            .map(|g| format!("{g:0>2}"))
            .collect::<String>(),
        7 if groups[0] == "01" => groups[1..].iter().map(|g| format!("{g:0>2}")).collect(),
        1 if text.len() == 12 => text.to_string(),
        3 if groups.iter().all(|g| g.len() == 4) => groups.concat(),
        _ => return None,
    };
    if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    // A multicast address is nobody's own, and so are all zeroes.
    let first = u8::from_str_radix(&digits[..2], 16).ok()?;
    if first & 1 == 1 || digits == "000000000000" {
        return None;
    }
    let pairs: Vec<&str> = (0..6).map(|i| &digits[2 * i..2 * i + 2]).collect();
    Some(pairs.join(":"))
}

fn macs(text: &str) -> Result<String, String> {
    let mut found: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let one =
            mac(part).ok_or_else(|| format!("{part:?} is not a MAC address of one machine"))?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found.join(","))
}

fn serial(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches("0x").to_ascii_lowercase();
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) || !(8..=16).contains(&text.len()) {
        return Err("a serial is 8 hex digits, or the 16 of /proc/cpuinfo".to_string());
    }
    // The firmware asks by the low half: cpuinfo's 16 digits lead with its other half or zeroes.
    Ok(text[text.len() - 8..].to_string())
}

fn address(text: &str) -> Result<String, String> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| "not an IPv4 address".to_string())?;
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err("not an address of one machine".to_string());
    }
    Ok(address.to_string())
}

fn ip(text: &str) -> Result<String, String> {
    text.parse::<Ip>()
        .map(|v| v.to_string())
        .map_err(|e| e.to_string())
}

fn loader(text: &str) -> Result<String, String> {
    text.parse::<Loader>()
        .map(|v| v.to_string())
        .map_err(|e| e.to_string())
}

fn nfs_version(text: &str) -> Result<String, String> {
    text.parse::<NfsVersion>()
        .map(|v| v.to_string())
        .map_err(|e| e.to_string())
}

fn root(text: &str) -> Result<String, String> {
    if text == "nfs" {
        return Ok(text.to_string());
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if ["PARTUUID", "UUID", "LABEL"].contains(&key) && !value.is_empty() && value.bytes().all(plain)
    {
        return Ok(text.to_string());
    }
    Err("neither nfs nor PARTUUID=, UUID= or LABEL= with a plain value".to_string())
}

fn clients(text: &str) -> Result<String, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b".-_/:*?@".contains(&c);
        if part.is_empty() || !part.bytes().all(plain) || part.starts_with('-') {
            return Err(format!("{part:?} is no address, network or host name"));
        }
        if part == "*" {
            // Anybody who reaches the server could write every system.
            return Err("* lets anybody write the node's system; name a network".to_string());
        }
        found.push(part);
    }
    Ok(found.join(","))
}

fn nfs_options(text: &str) -> Result<String, String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"=,._-".contains(&c);
    if !text.bytes().all(plain) {
        return Err("mount options are letters, digits, =, comma, dot, _ and -".to_string());
    }
    for option in text.split(',') {
        let key = option.split('=').next().unwrap_or_default();
        if ["vers", "nfsvers", "proto", "addr", "tcp", "udp"].contains(&key) {
            return Err(format!("{key} is netbe's to choose; see nfs.version"));
        }
    }
    Ok(text.to_string())
}

fn cmdline(text: &str) -> Result<String, String> {
    let text = one_line(text)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    for word in &words {
        let key = word.split('=').next().unwrap_or_default();
        if [
            "root",
            "nfsroot",
            "ip",
            "netroot",
            "rootfstype",
            "rootflags",
        ]
        .contains(&key)
        {
            return Err(format!(
                "{key}= is netbe's to write; see the properties root and ip"
            ));
        }
        // initramfs-tools splits the line at blanks whatever is quoted.
        if word.contains('"') {
            return Err("quotes do not survive every initramfs".to_string());
        }
    }
    Ok(words.join(" "))
}

fn one_line(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("one line, without control characters".to_string());
    }
    Ok(text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_in_every_spelling_become_one() {
        for text in [
            "dc:a6:32:01:02:03",
            "DC:A6:32:01:02:03",
            "dc-a6-32-01-02-03",
            "01-dc-a6-32-01-02-03",
            "dca6.3201.0203",
            "dca632010203",
            "DCA632010203",
            "dc:a6:32:1:2:3",
        ] {
            assert_eq!(mac(text).as_deref(), Some("dc:a6:32:01:02:03"), "{text}");
        }
        for bad in [
            "",
            "dc:a6:32:01:02",
            "dc:a6:32:01:02:0g",
            "dc:a6:32:01:02:03:04",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "dc:a6:32:01:02:003",
            "../../../..",
            "dca63201020",
        ] {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_checked() {
        let table: &[(&str, &str, Option<&str>)] = &[
            (
                "mac",
                "DC-A6-32-01-02-03,dc:a6:32:01:02:03",
                Some("dc:a6:32:01:02:03"),
            ),
            ("serial", "00000000ABCDEF01", Some("abcdef01")),
            ("serial", "abcdef01", Some("abcdef01")),
            ("serial", "xyz", None),
            ("serial", "../../etc", None),
            ("ip", "dhcp", Some("dhcp")),
            ("ip", "10.0.0.5/24,10.0.0.1", Some("10.0.0.5/24,10.0.0.1")),
            ("ip", "10.0.0.5", None),
            ("server", "10.0.0.1", Some("10.0.0.1")),
            ("server", "10.0.0.1 x", None),
            ("server", "0.0.0.0", None),
            ("root", "PARTUUID=1234-02", Some("PARTUUID=1234-02")),
            ("root", "LABEL=a b", None),
            (
                "clients",
                "10.0.0.0/24,nog.lan",
                Some("10.0.0.0/24,nog.lan"),
            ),
            ("clients", "*", None),
            ("clients", "a b", None),
            ("clients", "x(rw)", None),
            ("nfs.options", "actimeo=120", Some("actimeo=120")),
            ("nfs.options", "vers=2", None),
            ("nfs.options", "a b", None),
            (
                "cmdline",
                "quiet  console=ttyS0",
                Some("quiet console=ttyS0"),
            ),
            ("cmdline", "root=/dev/sda", None),
            ("cmdline", "a\nb", None),
            ("nfs.version", "4.2", Some("4.2")),
            ("nfs.version", "2", None),
        ];
        for (name, value, want) in table {
            let got = find(name).unwrap().normalise(value).ok();
            assert_eq!(got.as_deref(), *want, "{name}={value}");
        }
        assert!(find("colour").is_err());
    }
}
