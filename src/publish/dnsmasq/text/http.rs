//! The DHCP options for firmware that boots by HTTP, and for iPXE. Pure.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{Config, EFI_PROGRAMS, OURS, tag};
use crate::boot::{IPXE_SCRIPT, Loader};

/// Returns the boot file of iPXE: from an HTTP URL, it fetches the files that the script names by HTTP too.
pub(super) fn script(c: &Config<'_>) -> String {
    match c.http {
        Some(port) => url(c.server, port, IPXE_SCRIPT),
        None => IPXE_SCRIPT.to_string(),
    }
}

fn url(server: Ipv4Addr, port: u16, file: &str) -> String {
    match port {
        80 => format!("http://{server}/{file}"),
        _ => format!("http://{server}:{port}/{file}"),
    }
}

/// Adds the options for firmware that boots by HTTP, which accepts only an answer with its own class in it.
pub(super) fn boot(text: &mut String, server: Ipv4Addr, port: u16) {
    let (pxe, http) = (tag(Loader::Pxelinux), format!("{OURS}-http"));
    let _ = writeln!(
        text,
        "# UEFI that boots by HTTP gets iPXE, which needs Secure Boot off: the signed GRUB goes on by TFTP alone.\ndhcp-vendorclass=set:{http},HTTPClient\ndhcp-option-force=tag:{pxe},tag:{http},60,HTTPClient"
    );
    for efi in EFI_PROGRAMS {
        let (tag, arch) = (efi.tag, efi.by_http);
        let _ = writeln!(
            text,
            "dhcp-match=set:{http}-{tag},option:client-arch,{arch}\ndhcp-boot=tag:{pxe},tag:{http},tag:{http}-{tag},tag:!{OURS}-ipxe,{}",
            url(server, port, efi.programs.ipxe.name)
        );
    }
}
