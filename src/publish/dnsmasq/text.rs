//! dnsmasq's files as text: its configuration, and one machine's line.
//!
//! Pure. What a value could break out of is quoted or left out here, whatever was checked before. Options
//! and their formats: dnsmasq(8). Not for when they are written, nor for telling the daemon.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::boot::Loader;
use crate::pool::properties::Dhcp;

/// The tag of every machine that boots from the pool.
const OURS: &str = "netbe";
/// How many MAC addresses stand on a line: dnsmasq reads lines of up to 1024 bytes.
const MACS_A_LINE: usize = 32;
/// What Raspberry Pis' MAC addresses begin with (IEEE registry, as LTSP's configuration lists them).
const PI_MACS: [&str; 7] = [
    "28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01",
];
/// The client architectures of UEFI firmware: RFC 4578 and the IANA registry after it, HTTP boot left out.
const EFI: [u8; 5] = [6, 7, 9, 10, 11];

/// What the configuration is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config<'a> {
    /// The pool's UUID.
    pub pool_uuid: &'a str,
    /// Its state directory, one that can stand unquoted.
    pub state: &'a Path,
    /// Whether it is the first pool's, which says what is the server's: ports, addresses, what firmware is sent.
    pub first: bool,
    /// This machine's address, as nodes see it.
    pub server: Ipv4Addr,
    /// What to do about DHCP.
    pub dhcp: Dhcp,
    /// Whether some node is known by a serial and no MAC address.
    pub by_serial: bool,
    /// Whether nobody else configures this dnsmasq.
    pub alone: bool,
    /// The router machines are told of, when addresses are handed out.
    pub router: Option<Ipv4Addr>,
    /// The DNS servers they are told of.
    pub name_servers: &'a [Ipv4Addr],
}

/// Returns the whole of `publish/dnsmasq.conf`.
pub fn config(c: &Config<'_>) -> String {
    let state = c.state.display();
    let mut text = format!(
        "# netbe pool {}\n\
         # Written by netbe publish; changes are lost. See netbe-publish(8).\n\
         # What is to differ goes into a file of your own in /etc/dnsmasq.d; netbe's machines have the tag {OURS}.\n\n",
        c.pool_uuid
    );
    if c.first && c.alone {
        text.push_str(
            "# Nothing else configures this dnsmasq: it need not answer DNS. A line of your own in /etc/dnsmasq.conf\n\
             # or /etc/dnsmasq.d, and what DNS it answers is yours to say.\nport=0\n\n",
        );
    }
    let _ = write!(
        text,
        "# Boot files are handed out by netbe serve, not from here.\n\n\
         # Who is a machine of netbe's, one file each.\nconf-dir={state}/publish/dnsmasq-hosts\n\n"
    );
    if c.by_serial {
        by_serial(&mut text);
    }
    if c.first {
        boot_part(&mut text, c);
        addresses(&mut text, c);
    } else {
        text.push_str("# Addresses, and what firmware is sent, are in the configuration of this server's first pool.\n");
    }
    text
}

/// A machine known by its serial alone cannot be told by its MAC address; that it is a Raspberry Pi can.
fn by_serial(text: &mut String) {
    let _ = writeln!(
        text,
        "# A node has a serial and no MAC address: every Raspberry Pi is offered its boot, told by its machine id\n\
         # (RPi4, RPi5) or the first half of its MAC address. With a MAC address for each (netbe set mac=…), none but yours."
    );
    let _ = writeln!(text, "dhcp-match=set:{OURS}-pi,97,00:52:50:69");
    for mac in PI_MACS {
        let _ = writeln!(text, "dhcp-mac=set:{OURS}-pi,{mac}:*:*:*");
    }
    let _ = writeln!(
        text,
        "tag-if=set:{OURS},set:{OURS}-rpi,tag:{OURS}-pi,tag:!{OURS}\n"
    );
}

fn boot_part(text: &mut String, c: &Config<'_>) {
    let server = c.server;
    let (rpi, pxe) = (tag(Loader::Rpi), tag(Loader::Pxelinux));
    let _ = writeln!(
        text,
        "# A Raspberry Pi looks for these words, and takes the rest from its own folder.\n\
         pxe-service=tag:{rpi},0,\"Raspberry Pi Boot\"\n"
    );
    if c.dhcp == Dhcp::Proxy {
        let _ = writeln!(
            text,
            "# The BIOS of a PC is sent to PXELINUX. U-Boot asks the DHCP server itself, never a proxy: that server has to\n\
             # name this machine as next-server.\n\
             pxe-service=tag:{pxe},x86PC,\"netbe\",pxelinux.0,{server}\n"
        );
        return;
    }
    text.push_str(
        "# The BIOS of a PC and U-Boot are sent to PXELINUX's files; UEFI cannot run them, so it is told nothing.\n",
    );
    for arch in EFI {
        let _ = writeln!(text, "dhcp-match=set:{OURS}-efi,option:client-arch,{arch}");
    }
    let _ = writeln!(
        text,
        "dhcp-boot=tag:{pxe},tag:!{OURS}-efi,pxelinux.0,,{server}"
    );
    let _ = writeln!(
        text,
        "# Files are fetched from this address, whichever of this machine's the question came to.\n\
         dhcp-option=tag:{OURS},option:server-ip-address,{server}\n"
    );
}

/// Returns whether a configuration has dnsmasq hand out files, as those of an older netbe do.
pub fn hands_out_files(text: &str) -> bool {
    text.lines().any(|l| l == "enable-tftp")
}

fn addresses(text: &mut String, c: &Config<'_>) {
    let server = c.server;
    match c.dhcp {
        Dhcp::Off => text.push_str("# dhcp=off: netbe adds no range of addresses.\n"),
        Dhcp::Proxy => {
            let _ = writeln!(
                text,
                "# Another server hands out the addresses on the network of {server}; this one adds what to boot.\n\
                 # To hand them out from here: netbe set dhcp=FIRST-LAST\n\
                 dhcp-range=set:{OURS}-range,{server},proxy"
            );
            match c.alone {
                true => {
                    let _ = writeln!(
                        text,
                        "# Machines that are not netbe's get no answer, not even an empty one: others may serve them.\n\
                         dhcp-ignore=tag:!{OURS}"
                    );
                }
                false => {
                    let _ = writeln!(
                        text,
                        "# Other machines that boot by PXE get an empty answer. To give none, where DHCP is answered on ethX:\n\
                         # dhcp-ignore=tag:ethX,tag:!{OURS}"
                    );
                }
            }
        }
        Dhcp::Range(first, last) => range(text, c, first, last),
    }
}

fn range(text: &mut String, c: &Config<'_>, first: Ipv4Addr, last: Ipv4Addr) {
    let _ = writeln!(
        text,
        "# Addresses for every machine that asks. There is no other DHCP server then, so a machine that still has an\n\
         # address from before is answered at once instead of being left to wait.\n\
         dhcp-range=set:{OURS}-range,{first},{last},12h\ndhcp-authoritative"
    );
    let _ = writeln!(
        text,
        "# What else machines are told. To tell them something else: the same with your value, in a file that is read\n\
         # later, such as /etc/dnsmasq.d/zz-local.conf"
    );
    match c.router {
        Some(router) => {
            let _ = writeln!(text, "dhcp-option=tag:{OURS}-range,option:router,{router}");
        }
        None => {
            let _ = writeln!(
                text,
                "# No router: this machine knows none on that network.\n\
                 dhcp-option=tag:{OURS}-range,option:router"
            );
        }
    }
    // Where dnsmasq answers DNS it names itself, which is right.
    if c.alone && !c.name_servers.is_empty() {
        let servers: Vec<String> = c.name_servers.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "dhcp-option=tag:{OURS}-range,option:dns-server,{}",
            servers.join(",")
        );
    }
}

/// Returns whether a configuration lets machines in by being Raspberry Pis.
pub fn is_by_serial(text: &str) -> bool {
    text.lines()
        .any(|l| l.starts_with("dhcp-match=set:netbe-pi,"))
}

/// One machine of a node, as dnsmasq is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    /// The node.
    pub node: &'a str,
    /// Its MAC addresses.
    pub macs: Vec<&'a str>,
    /// What reads its boot files, where that is known.
    pub loader: Option<Loader>,
    /// The address it is always given.
    pub address: Option<Ipv4Addr>,
}

/// Returns the whole of a node's file in `publish/dnsmasq-hosts`.
///
/// Plain configuration, not the lines of a `dhcp-hostsdir`: of those dnsmasq 2.90 frees the tags twice at a
/// SIGHUP once their machine has asked for an address, and ends.
pub fn host(h: &Host<'_>) -> String {
    let mut text = String::new();
    for (i, macs) in h.macs.chunks(MACS_A_LINE).enumerate() {
        // Firmware, loader, initramfs and system each ask with a client id of their own, or none: by the
        // MAC address alone they are one machine, with one address.
        let mut fields: Vec<String> = macs.iter().map(ToString::to_string).collect();
        fields.push("id:*".to_string());
        fields.push(format!("set:{OURS}"));
        fields.extend(h.loader.map(|l| format!("set:{}", tag(l))));
        if i == 0 {
            fields.extend(h.address.map(|a| a.to_string()));
            fields.extend(is_a_name(h.node).then(|| h.node.to_string()));
        }
        text.push_str("dhcp-host=");
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// Returns the addresses that a node's file has dnsmasq keep.
pub fn host_addresses(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    text.lines()
        .filter_map(|line| line.strip_prefix("dhcp-host="))
        .flat_map(|fields| fields.split(','))
        .filter_map(|field| field.parse().ok())
}

/// Returns whether dnsmasq takes a word for a host name: a number is a lease time there, with or without
/// its unit, and two words are its own.
fn is_a_name(word: &str) -> bool {
    let number = word.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(word);
    !(word == "ignore" || word == "infinite" || number.bytes().all(|b| b.is_ascii_digit()))
}

fn tag(loader: Loader) -> String {
    format!("{OURS}-{loader}")
}

#[cfg(test)]
mod tests;
