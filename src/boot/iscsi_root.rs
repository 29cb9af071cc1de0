//! A root on a disk that the server offers by iSCSI, while kernel and initramfs come over the network.
//!
//! `root=UUID=… iscsi_initiator=… iscsi_target_name=… iscsi_target_ip=10.0.0.1` for initramfs-tools, `netroot=iscsi:…` for
//! dracut. Pure: the arguments of the kernel command line, and the reasons why the root would not be mounted. Not for the disk.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::cmdline_tokens::{Line, name_of, value_of};
use super::disk_root;
use super::files::BootFiles;
use super::initramfs::{Mounter, Mounting};
use super::kernel::{self, Contents};
use crate::failure::Failure;

/// The arguments of the script `iscsi` in open-iscsi's initramfs (2.1.8), and of dracut: dracut.cmdline(7).
const NAMES: [&str; 10] = [
    "iscsi_initiator",
    "iscsi_username",
    "iscsi_password",
    "iscsi_target_name",
    "iscsi_target_ip",
    "iscsi_target_port",
    "iscsi_target_group",
    "iscsi_auto",
    "rd.iscsi.initiator",
    "rd.iscsi.firmware",
];
/// The number of the disk in its target, as tgt counts: 0 is its controller.
pub const LUN: u32 = 1;
/// The port of iSCSI: RFC 7143.
pub const PORT: u16 = 3260;
/// The placeholder of the root while a line is edited as one for NFS.
pub(super) const STAND_IN: [&str; 2] = ["root=/dev/nfs", "nfsroot=/"];

/// The server and disk of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IscsiRoot {
    /// The server's address.
    pub server: Ipv4Addr,
    /// The name of the disk's target, by which the server offers it.
    pub target: String,
    /// The initiator name of the machine.
    pub initiator: String,
    /// The user name for CHAP.
    pub user: String,
    /// The secret for CHAP.
    pub secret: String,
    /// The UUID of the disk's filesystem.
    pub uuid: String,
}

impl IscsiRoot {
    /// Returns the arguments that name it, each one token, the root first.
    ///
    /// # Errors
    /// If no program in the environment reads them.
    pub(super) fn arguments(&self, how: Mounting, node: &str) -> Result<Vec<String>> {
        let (server, target, initiator) = (self.server, &self.target, &self.initiator);
        let (user, secret) = (&self.user, &self.secret);
        let mut arguments = vec![format!("root=UUID={}", self.uuid)];
        match how.mounter {
            Mounter::InitramfsTools => arguments.extend([
                format!("iscsi_initiator={initiator}"),
                format!("iscsi_target_name={target}"),
                format!("iscsi_target_ip={server}"),
                format!("iscsi_username={user}"),
                format!("iscsi_password={secret}"),
            ]),
            Mounter::Dracut => arguments.extend([
                format!("netroot=iscsi:{user}:{secret}@{server}::{PORT}:{LUN}:{target}"),
                format!("rd.iscsi.initiator={initiator}"),
            ]),
            Mounter::Mkinitcpio | Mounter::Kernel | Mounter::Unknown => {
                return Err(Failure::failed(
                    "a root by iSCSI is mounted by an initramfs of initramfs-tools with open-iscsi, or of dracut, and the \
                     environment has none of them",
                )
                .hint(format!("netbe set root=nfs {node}"))
                .into());
            }
        }
        Ok(arguments)
    }

    /// Returns why this root would not be mounted, or not writable, by a line, a sentence each.
    pub(super) fn check(&self, file: &str, line: &Line, how: Mounting) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.arguments(how, "") {
            Err(e) => reasons.push(e.to_string()),
            Ok(arguments) => {
                let lacks = arguments
                    .iter()
                    .filter(|a| line.value(name_of(a)) != value_of(a));
                reasons.extend(lacks.map(|a| format!("{file} does not say {a}")));
            }
        }
        reasons.extend(disk_root::not_writable(file, line));
        reasons
    }

    /// Returns what an initramfs lacks to reach this root; `None` if nothing, or if it is not known.
    pub(super) fn missing(
        &self,
        root: &dyn BootFiles,
        version: &str,
        found: Option<&Contents>,
    ) -> Option<&'static str> {
        let found = found.filter(|found| found.init && !found.squashed)?;
        if !found.iscsi {
            return Some("the initramfs has no iscsistart, and would not find its disk");
        }
        (!found.has_module("sd_mod") && kernel::has_disk_driver_as_module(root, version)).then_some(
            "the initramfs has no driver for the disk (sd_mod.ko), and its kernel has that as a module",
        )
    }
}

/// Replaces a line's iSCSI root by the placeholder of an NFS root, as in a line that netbe has edited before.
pub(super) fn take_out(line: &mut Line) {
    let is_iscsi = |token: &str| {
        NAMES.contains(&name_of(token))
            || name_of(token) == "netroot"
                && value_of(token).is_some_and(|v| v.starts_with("iscsi:"))
    };
    let named = ["iscsi_target_name", "netroot"];
    let names_one = |token: &str| is_iscsi(token) && named.contains(&name_of(token));
    if !line.tokens().any(names_one) {
        return;
    }
    for at in (0..line.tokens().count()).rev() {
        if is_iscsi(line.get(at)) {
            line.remove(at);
        }
    }
    let at = line.find("root").first().copied();
    match at {
        Some(at) => line.set(at, STAND_IN[0]),
        None => line.insert(0, STAND_IN[0]),
    }
    line.insert(at.unwrap_or(0) + 1, STAND_IN[1]);
}

#[cfg(test)]
mod tests;
