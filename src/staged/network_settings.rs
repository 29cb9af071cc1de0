//! Where a system keeps the settings of its network interfaces, and what in them is one machine's own.
//!
//! Reads only. Not for what is told of them.

use std::io;

use crate::fs::rooted::Tree;

/// How many files of a directory are read.
const FILES: usize = 64;

/// The places of settings: a directory, how names in it end, and what in them is one machine's own.
const NETWORKS: [(&str, &str, &[&str]); 8] = [
    ("etc/netplan", ".yaml", &["addresses:", "macaddress:"]),
    (
        "etc/NetworkManager/system-connections",
        ".nmconnection",
        &[
            "address1=",
            "mac-address=",
            "cloned-mac-address=",
            "dhcp-client-id=",
            "dhcp-duid=",
        ],
    ),
    (
        "etc/systemd/network",
        ".network",
        &["Address=", "MACAddress=", "DUIDRawData="],
    ),
    ("etc/systemd/network", ".link", &["MACAddress="]),
    ("etc/systemd/networkd.conf.d", ".conf", &["DUIDRawData="]),
    (
        "etc/network/interfaces.d",
        "",
        &["address ", "hwaddress ", "client "],
    ),
    ("etc/sysconfig/network-scripts", "", &["IPADDR=", "HWADDR="]),
    ("etc/sysconfig/network", "", &["IPADDR=", "LLADDR="]),
];
/// The same, in files of their own.
const NETWORK_FILES: [(&str, &[&str]); 5] = [
    (
        "etc/network/interfaces",
        &["address ", "hwaddress ", "client "],
    ),
    ("etc/dhcpcd.conf", &["static ip_address="]),
    ("etc/systemd/networkd.conf", &["DUIDRawData="]),
    (
        "etc/dhcp/dhclient.conf",
        &[
            "send dhcp-client-identifier ",
            "send host-name \"",
            "fixed-address ",
        ],
    ),
    (
        "etc/udev/rules.d/70-persistent-net.rules",
        &["SUBSYSTEM==\"net\""],
    ),
];
/// Returns the files with settings of interfaces, each with its path, its text, and what in it is one machine's own.
pub(super) fn network_files(
    root: &Tree,
) -> io::Result<Vec<(String, String, &'static [&'static str])>> {
    let mut files: Vec<(String, &[&str])> = Vec::new();
    for (directory, end, words) in NETWORKS {
        let names = root.names(directory)?.into_iter();
        let names = names.filter(|name| name.ends_with(end)).take(FILES);
        files.extend(names.map(|name| (format!("{directory}/{name}"), words)));
    }
    files.extend(NETWORK_FILES.map(|(path, words)| (path.to_string(), words)));
    let mut found = Vec::new();
    for (path, words) in files {
        let is_file = root.metadata(&path)?.is_some_and(|m| m.is_file());
        // One that is no text says nothing of a network.
        let text = is_file
            .then(|| root.read_text(&path).ok().flatten())
            .flatten();
        found.extend(text.map(|text| (path, text, words)));
    }
    Ok(found)
}

/// Returns the first of some words that a line begins with that is no comment, but for loopback's.
pub(super) fn own_word<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with(['#', ';']));
    let mut lines = lines.filter(|l| !l.contains("127.0.0.1"));
    lines.find_map(|line| {
        let found = words.iter().find(|word| line.starts_with(**word));
        found.map(|word| word.trim_end_matches([' ', '=', ':']))
    })
}
