//! Classifies arguments of a kernel command line: for a root on a disk, or for a root on the network.

use crate::boot::cmdline_tokens::{name_of, value_of};

/// Values of `init=` that prepare a new disk and reboot: those of Raspberry Pi OS.
const FIRST_BOOT: [&str; 2] = ["firstboot", "init_resize"];

/// Prefixes of the arguments by which dracut, systemd and mkinitcpio wait for a local disk.
const DISKS: &str = "rd.luks rd.lvm rd.md rd.dm luks. cryptdevice cryptkey cryptopts";

/// What happens to a token on a line for NFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    /// `root=`: replaced.
    Root,
    /// `ip=`: replaced.
    Address,
    /// `rw`: kept, and recorded as part of a local line.
    Writable,
    /// Applies only to a root on a disk.
    Disk,
    /// Applies only to another network root.
    Gone,
}

/// Returns what happens to a token on a line for NFS; `read_only` if its root is mounted read-only.
pub(super) fn fate(token: &str, read_only: bool) -> Fate {
    let name = name_of(token).replace('-', "_");
    let value = value_of(token);
    let is_nfs = value.is_some_and(|v| v.starts_with("nfs"));
    match name.as_str() {
        "root" => Fate::Root,
        "ip" => Fate::Address,
        "nfsaddrs" => Fate::Gone,
        "rw" if value.is_none() && read_only => Fate::Disk,
        "rw" if value.is_none() => Fate::Writable,
        "ro" if value.is_none() => Fate::Disk,
        "netroot" | "boot" | "rootfstype" if is_nfs => Fate::Gone,
        "netroot" | "boot" | "rootfstype" | "rootflags" | "resume" | "resume_offset" => Fate::Disk,
        "resize" if value.is_none() => Fate::Disk,
        "init"
            if FIRST_BOOT
                .iter()
                .any(|w| value.unwrap_or_default().contains(w)) =>
        {
            Fate::Disk
        }
        name if name.starts_with("fsck.") => Fate::Disk,
        name if DISKS.split(' ').any(|d| name.starts_with(d)) => Fate::Disk,
        _ => Fate::Keep,
    }
}
