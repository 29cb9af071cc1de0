//! The text of one node's file: its machines, and whether every other machine is one of them. Pure.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{OURS, tag};
use crate::boot::Loader;

/// How many MAC addresses are written on a line: dnsmasq reads lines of up to 1024 bytes.
pub(super) const MACS_A_LINE: usize = 32;
/// How many characters of a node's name are in the names of its machines: a label has at most 63 characters.
const NODE_IN_NAME: usize = 56;
/// The tag of machines that the administrator excludes from a node with `mac=any`.
const NOT_OURS: &str = "netbe-not";

/// The machines of a node, as dnsmasq's configuration has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    /// The node.
    pub node: &'a str,
    /// Its MAC addresses.
    pub macs: Vec<&'a str>,
    /// Whether each address is a separate machine, with its own name.
    pub several: bool,
    /// Whether machines that no other node names boot it too.
    pub for_any: bool,
    /// Whether dnsmasq assigns the addresses.
    pub hands_out: bool,
    /// Its boot loader, if known.
    pub loader: Option<Loader>,
    /// The reserved address.
    pub address: Option<Ipv4Addr>,
}

/// Returns the whole of a node's file in `publish/dnsmasq-hosts`.
///
/// Not a file for `dhcp-hostsdir`: dnsmasq 2.90 frees the tags of these twice at a SIGHUP after their machine has asked
/// for an address, and crashes.
pub fn host(h: &Host<'_>) -> String {
    let mut text = String::new();
    let a_line = if h.several { 1 } else { MACS_A_LINE };
    for (i, macs) in h.macs.chunks(a_line).enumerate() {
        // Firmware, loader, initramfs and system send different client IDs, or none: identified only by the MAC address,
        // they are one machine with one address.
        let mut fields: Vec<String> = macs.iter().map(ToString::to_string).collect();
        fields.push("id:*".to_string());
        fields.push(format!("set:{OURS}"));
        fields.extend(h.loader.map(|l| format!("set:{}", tag(l))));
        if h.several {
            fields.extend(macs.iter().map(|mac| name_of_one(h.node, mac)));
        } else if i == 0 {
            fields.extend(h.address.map(|a| a.to_string()));
            fields.extend(is_a_name(h.node).then(|| h.node.to_string()));
        }
        text.push_str("dhcp-host=");
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    if h.for_any {
        for_any(&mut text, h);
    }
    text
}

/// Gives the boot settings to every machine that no other node's file tags: dnsmasq sets the tags of hosts first.
fn for_any(text: &mut String, h: &Host<'_>) {
    let _ = writeln!(
        text,
        "# mac=any: every machine that no other node names. To leave one out: dhcp-host=MAC,set:{NOT_OURS} in a file of your\n# own in /etc/dnsmasq.d; dhcp-mac, dhcp-match and dhcp-vendorclass set that tag for a class of machines."
    );
    let loader = h.loader.map(|l| format!("set:{},", tag(l)));
    let _ = writeln!(
        text,
        "tag-if=set:{OURS},{}tag:!{OURS},tag:!{NOT_OURS}",
        loader.unwrap_or_default()
    );
    if h.hands_out {
        let _ = writeln!(
            text,
            "# Firmware, loader, initramfs and system ask with different client IDs: one machine, one address.\ndhcp-ignore-clid"
        );
    }
}

/// Returns the name of one of a node's machines: `web-750102`. The program of `boot::read_only` makes the same name if no
/// DHCP server gives one.
fn name_of_one(node: &str, mac: &str) -> String {
    let digits = mac.replace(':', "");
    let start: String = node.chars().take(NODE_IN_NAME).collect();
    format!("{start}-{}", &digits[digits.len().saturating_sub(6)..])
}

/// Returns the addresses that a node's file reserves.
pub fn host_addresses(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    text.lines()
        .filter_map(|line| line.strip_prefix("dhcp-host="))
        .flat_map(|fields| fields.split(','))
        .filter_map(|field| field.parse().ok())
}

/// Returns whether dnsmasq parses a word as a host name: a number, with or without a unit, is a lease time, and two
/// words are keywords.
fn is_a_name(word: &str) -> bool {
    let number = word.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(word);
    !(word == "ignore" || word == "infinite" || number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_machines_has_a_name_of_its_own() {
        let node = "w".repeat(63);
        let text = host(&Host {
            node: &node,
            macs: vec!["dc:a6:32:01:02:03", "dc:a6:32:01:02:04"],
            several: true,
            for_any: false,
            hands_out: false,
            loader: None,
            address: None,
        });
        let name = "w".repeat(56);
        let want = format!(
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe,{name}-010203\ndhcp-host=dc:a6:32:01:02:04,id:*,set:netbe,{name}-010204\n"
        );
        assert_eq!(text, want);
    }

    #[test]
    fn every_other_machine_gets_the_settings_of_a_node_for_any() {
        let of = |macs, loader, hands_out| {
            let text = host(&Host {
                node: "web",
                macs,
                several: true,
                for_any: true,
                hands_out,
                loader,
                address: None,
            });
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of(Vec::new(), Some(Loader::GrubEfi), false),
            ["tag-if=set:netbe,set:netbe-pxelinux,tag:!netbe,tag:!netbe-not"]
        );
        assert_eq!(
            of(vec!["dc:a6:32:01:02:03"], None, true),
            [
                "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe,web-010203",
                "tag-if=set:netbe,tag:!netbe,tag:!netbe-not",
                "dhcp-ignore-clid"
            ]
        );
    }
}
