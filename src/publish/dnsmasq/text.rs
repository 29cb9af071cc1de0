//! The text of dnsmasq's files: the configuration, and one node's file.
//!
//! Pure. Values that could break the syntax are quoted or omitted here, whatever was checked before. Options and their
//! formats: dnsmasq(8). Not for writing the files, nor for the daemon.

mod host;
mod http;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::boot::{EFI_AARCH64, EFI_X86_64, EfiPrograms, Loader};
use crate::pool::properties::Dhcp;
pub use host::{Host, host, host_addresses};

/// The tag of every machine that boots from the pool.
const OURS: &str = "netbe";

/// The prefixes of Raspberry Pis' MAC addresses (IEEE registry, as in LTSP's configuration).
const PI_MACS: [&str; 7] = [
    "28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01",
];
/// The client architectures of UEFI firmware: RFC 4578 and the IANA registry after it, the last four for HTTP boot.
const EFI: [u8; 9] = [6, 7, 9, 10, 11, 15, 16, 18, 19];
/// UEFI firmware that netbe has programs for.
struct Efi {
    tag: &'static str,
    /// Client architectures, with dnsmasq's names for them.
    architectures: &'static [(u8, &'static str)],
    /// The client architecture of firmware that boots by HTTP.
    by_http: u8,
    programs: EfiPrograms,
}

const EFI_PROGRAMS: [Efi; 2] = [
    Efi {
        tag: "x64",
        architectures: &[(7, "x86-64_EFI"), (9, "BC_EFI")],
        by_http: 16,
        programs: EFI_X86_64,
    },
    Efi {
        tag: "arm64",
        architectures: &[(11, "ARM64_EFI")],
        by_http: 19,
        programs: EFI_AARCH64,
    },
];

/// The input of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config<'a> {
    /// The pool's UUID.
    pub pool_uuid: &'a str,
    /// Its state directory, a path that needs no quotes.
    pub state: &'a Path,
    /// Whether it is the first pool, whose configuration has the settings of the server: ports, addresses, boot
    /// settings.
    pub first: bool,
    /// The address by which nodes reach this machine.
    pub server: Ipv4Addr,
    /// The DHCP mode.
    pub dhcp: Dhcp,
    /// The port of HTTP, if boot files are served by that, too.
    pub http: Option<u16>,
    /// Whether a node has a serial and no MAC address.
    pub by_serial: bool,
    /// Whether this dnsmasq has no other configuration.
    pub alone: bool,
    /// The router option, if addresses are assigned.
    pub router: Option<Ipv4Addr>,
    /// The DNS server option, likewise.
    pub name_servers: &'a [Ipv4Addr],
}

/// Returns the whole of `publish/dnsmasq.conf`.
pub fn config(c: &Config<'_>) -> String {
    let state = c.state.display();
    let mut text = format!(
        "# netbe pool {}\n# Written by netbe publish; changes are lost. See netbe-publish(8).\n# Put your own settings into another file in /etc/dnsmasq.d; netbe's machines have the tag {OURS}.\n\n",
        c.pool_uuid
    );
    if c.first && c.alone {
        text.push_str(
            "# This dnsmasq has no other configuration, so its DNS is disabled. To enable it, add a line of your own to\n# /etc/dnsmasq.conf or a file in /etc/dnsmasq.d.\nport=0\n\n",
        );
    }
    let _ = write!(
        text,
        "# netbe serve serves the boot files.\n\n# The machines of netbe, one file each.\nconf-dir={state}/publish/dnsmasq-hosts\n\n"
    );
    if c.by_serial {
        by_serial(&mut text);
    }
    if c.first {
        boot_part(&mut text, c);
        addresses(&mut text, c);
    } else {
        text.push_str("# The configuration of this server's first pool has the addresses and the boot settings.\n");
    }
    text
}

/// A machine with a serial and no MAC address can only be recognised as a Raspberry Pi.
fn by_serial(text: &mut String) {
    let _ = writeln!(
        text,
        "# A node has a serial and no MAC address: every Raspberry Pi gets the boot settings, recognised by its machine id\n# (RPi4, RPi5) or the first half of its MAC address. With a MAC address for each (netbe set mac=…), only yours."
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
    let script = http::script(c);
    let (rpi, pxe) = (tag(Loader::Rpi), tag(Loader::Pxelinux));
    let _ = writeln!(
        text,
        "# A Raspberry Pi needs these words, and gets the rest from its own directory.\npxe-service=tag:{rpi},0,\"Raspberry Pi Boot\"\n"
    );
    if c.dhcp == Dhcp::Proxy {
        let _ = writeln!(
            text,
            "# The BIOS of a PC boots PXELINUX. U-Boot ignores DHCP proxies: the DHCP server has to name this machine as\n# next-server.\npxe-service=tag:{pxe},x86PC,\"netbe\",pxelinux.0,{server}\n"
        );
        let _ = writeln!(
            text,
            "# UEFI boots iPXE, which boots by its script. GRUB would ask the other DHCP server's next-server for its files:\n# Secure Boot, which accepts GRUB alone, needs that server to name this machine there and {shim} as file.\ndhcp-match=set:{OURS}-ipxe,175",
            shim = EFI_X86_64.signed[0].name
        );
        for Efi {
            architectures,
            programs,
            ..
        } in EFI_PROGRAMS
        {
            let ipxe = programs.ipxe.name;
            for (_, name) in architectures {
                let _ = writeln!(
                    text,
                    "pxe-service=tag:{pxe},tag:!{OURS}-ipxe,{name},\"netbe\",{ipxe},{server}\npxe-service=tag:{pxe},tag:{OURS}-ipxe,{name},\"netbe\",{script},{server}"
                );
            }
        }
        text.push('\n');
        return;
    }
    text.push_str(
        "# The BIOS of a PC and U-Boot get PXELINUX's files, UEFI shim, which starts GRUB, and an iPXE of UEFI its script.\n",
    );
    for arch in EFI {
        let _ = writeln!(text, "dhcp-match=set:{OURS}-efi,option:client-arch,{arch}");
    }
    let _ = writeln!(
        text,
        "dhcp-boot=tag:{pxe},tag:!{OURS}-efi,pxelinux.0,,{server}\ndhcp-match=set:{OURS}-ipxe,175\ndhcp-boot=tag:{pxe},tag:{OURS}-efi,tag:{OURS}-ipxe,{script},,{server}"
    );
    for Efi {
        tag,
        architectures,
        programs,
        ..
    } in EFI_PROGRAMS
    {
        let shim = programs.signed[0].name;
        for (arch, _) in architectures {
            let _ = writeln!(
                text,
                "dhcp-match=set:{OURS}-efi-{tag},option:client-arch,{arch}"
            );
        }
        let _ = writeln!(
            text,
            "dhcp-boot=tag:{pxe},tag:{OURS}-efi-{tag},tag:!{OURS}-ipxe,{shim},,{server}"
        );
    }
    if let Some(port) = c.http {
        http::boot(text, server, port);
    }
    let _ = writeln!(
        text,
        "# The address of the TFTP server, whichever address of this machine the request came to.\ndhcp-option=tag:{OURS},option:server-ip-address,{server}\n"
    );
}

/// Returns whether a configuration enables TFTP, as those of an older netbe do.
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
                "# Another server assigns the addresses on the network of {server}; this one adds the boot settings.\n# To assign them here: netbe set dhcp=FIRST-LAST\ndhcp-range=set:{OURS}-range,{server},proxy"
            );
            match c.alone {
                true => {
                    let _ = writeln!(
                        text,
                        "# Other machines get no answer, not even an empty one: another server may serve them.\ndhcp-ignore=tag:!{OURS}"
                    );
                }
                false => {
                    let _ = writeln!(
                        text,
                        "# Other machines that boot by PXE get an empty answer. To send none on the interface ethX:\n# dhcp-ignore=tag:ethX,tag:!{OURS}"
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
        "# Addresses for every client. This is the only DHCP server, so a request for an unknown lease is refused at once,\n# instead of being left to time out.\ndhcp-range=set:{OURS}-range,{first},{last},12h\ndhcp-authoritative"
    );
    let _ = writeln!(
        text,
        "# Other options. To change one: the same line with your value, in a file that is read later, such as\n# /etc/dnsmasq.d/zz-local.conf"
    );
    match c.router {
        Some(router) => {
            let _ = writeln!(text, "dhcp-option=tag:{OURS}-range,option:router,{router}");
        }
        None => {
            let _ = writeln!(
                text,
                "# No router: this machine has no gateway on that network.\ndhcp-option=tag:{OURS}-range,option:router"
            );
        }
    }
    // If dnsmasq's DNS is enabled, it announces itself.
    if c.alone && !c.name_servers.is_empty() {
        let servers: Vec<String> = c.name_servers.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "dhcp-option=tag:{OURS}-range,option:dns-server,{}",
            servers.join(",")
        );
    }
}

/// Returns whether a configuration admits any Raspberry Pi.
pub fn is_by_serial(text: &str) -> bool {
    text.lines()
        .any(|l| l.starts_with("dhcp-match=set:netbe-pi,"))
}

/// Returns the tag of a loader's machines. Which program a PC starts depends on the architecture in its request.
fn tag(loader: Loader) -> String {
    let tagged = match loader {
        Loader::GrubEfi => Loader::Pxelinux,
        other => other,
    };
    format!("{OURS}-{tagged}")
}

#[cfg(test)]
mod tests;
