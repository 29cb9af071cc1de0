//! The values of properties: each function checks one and normalises it.
//!
//! Values are written on kernel command lines, in exports and in paths, so anything doubtful is refused. An error is a
//! sentence.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::ANY;

/// Returns a MAC address as `dc:a6:32:01:02:03` from any common spelling of it.
///
/// With colons, dashes, Cisco's dots or no separators; an ARP type in front (`01-…`), as PXELINUX writes it, is
/// removed.
pub(super) fn mac(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split([':', '-', '.']).collect();
    let digits = match groups.len() {
        // One-digit groups, as some systems print them, are padded with a zero.
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
    // A multicast address, or all zeroes, is not the address of a machine.
    let first = u8::from_str_radix(&digits[..2], 16).ok()?;
    if first & 1 == 1 || digits == "000000000000" {
        return None;
    }
    let pairs: Vec<&str> = (0..6).map(|i| &digits[2 * i..2 * i + 2]).collect();
    Some(pairs.join(":"))
}

pub(super) fn macs(text: &str) -> Result<String, String> {
    let mut found: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let one = match part {
            ANY => Some(ANY.to_string()),
            _ => mac(part),
        };
        let one = one.ok_or_else(|| format!("{part:?} is not a MAC address of one machine"))?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found.join(","))
}

pub(super) fn serial(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches("0x").to_ascii_lowercase();
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) || !(8..=16).contains(&text.len()) {
        return Err("a serial is 8 hex digits, or the 16 of /proc/cpuinfo".to_string());
    }
    // The firmware uses the low half of cpuinfo's 16 digits.
    Ok(text[text.len() - 8..].to_string())
}

pub(super) fn address(text: &str) -> Result<String, String> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| "not an IPv4 address".to_string())?;
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err("not an address of one machine".to_string());
    }
    Ok(address.to_string())
}

pub(super) fn model(text: &str) -> Result<String, String> {
    let model = text.parse::<crate::boot::Model>();
    model
        .map(|v| v.name().to_string())
        .map_err(|e| e.to_string())
}

/// Parses a value by its type, and returns it as that type prints it.
pub(super) fn parsed<T: FromStr<Err: Display> + Display>(text: &str) -> Result<String, String> {
    let value = text.parse::<T>();
    value.map(|v| v.to_string()).map_err(|e| e.to_string())
}

pub(super) fn root(text: &str) -> Result<String, String> {
    if text == "nfs" || text == "iscsi" {
        return Ok(text.to_string());
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    if ["PARTUUID", "UUID", "LABEL"].contains(&key) && !value.is_empty() && value.bytes().all(plain)
    {
        return Ok(text.to_string());
    }
    Err("neither nfs, iscsi nor PARTUUID=, UUID= or LABEL= with a plain value".to_string())
}

pub(super) fn clients(text: &str) -> Result<String, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b".-_/:*?@".contains(&c);
        if part.is_empty() || !part.bytes().all(plain) || part.starts_with('-') {
            return Err(format!("{part:?} is not an address, network or host name"));
        }
        // "**" and "*.*" match as many hosts as "*".
        if !part.bytes().any(|c| c.is_ascii_alphanumeric()) {
            // Every host that reaches the server could write every system.
            return Err(format!(
                "{part} would let every host write the node's system; name a network"
            ));
        }
        found.push(part);
    }
    Ok(found.join(","))
}

pub(super) fn nfs_options(text: &str) -> Result<String, String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"=,._-".contains(&c);
    if !text.bytes().all(plain) {
        return Err("mount options are letters, digits, =, comma, dot, _ and -".to_string());
    }
    for option in text.split(',') {
        let key = option.split('=').next().unwrap_or_default();
        if ["vers", "nfsvers", "proto", "addr", "tcp", "udp"].contains(&key) {
            return Err(format!("netbe sets {key}; see nfs.version"));
        }
    }
    Ok(text.to_string())
}

pub(super) fn cmdline(text: &str) -> Result<String, String> {
    let text = one_line(text)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    for word in &words {
        let key = word.split('=').next().unwrap_or_default();
        if [
            "root",
            "nfsroot",
            "ip",
            "netroot",
            "iscsi_initiator",
            "iscsi_target_name",
            "iscsi_target_ip",
            "iscsi_username",
            "iscsi_password",
            "rd.iscsi.initiator",
            "rootfstype",
            "rootflags",
        ]
        .contains(&key)
        {
            return Err(format!("netbe sets {key}=; see the properties root and ip"));
        }
        // initramfs-tools splits the line at spaces, also within quotes.
        if word.contains('"') {
            return Err("quotes do not survive every initramfs".to_string());
        }
    }
    Ok(words.join(" "))
}

/// Returns a value that is one of two words.
pub(super) fn either(text: &str, one: &str, other: &str) -> Result<String, String> {
    match text == one || text == other {
        true => Ok(text.to_string()),
        false => Err(format!("neither {one} nor {other}")),
    }
}

pub(super) fn one_line(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("one line, without control characters".to_string());
    }
    Ok(text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stands_among_addresses_or_alone() {
        for (text, value) in [
            ("any", "any"),
            ("any,any", "any"),
            ("dca632010203, any", "dc:a6:32:01:02:03,any"),
        ] {
            assert_eq!(macs(text).as_deref(), Ok(value), "{text}");
        }
        for bad in ["Any", "any,", "anyone", "any any"] {
            assert!(macs(bad).is_err(), "{bad}");
        }
    }

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
}
