//! The files with a system's network settings, and the words in them that are specific to one machine.
//!
//! Reads only. Not for notes about them.

use std::io;

use crate::fs::rooted::Tree;

/// The maximum number of files that are read in a directory.
const FILES: usize = 64;

/// Directories of settings: the directory, the suffix of its files, and the words that are specific to one machine.
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
/// The same for single files.
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
/// Returns the files with settings of interfaces, each with its path, its text, and the machine-specific words.
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
        // A file that is no text has no settings.
        let text = is_file
            .then(|| root.read_text(&path).ok().flatten())
            .flatten();
        found.extend(text.map(|text| (path, text, words)));
    }
    Ok(found)
}

/// Returns the first of these words at the start of a line; comments and loopback's lines do not count.
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
