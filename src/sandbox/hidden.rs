//! Hides information about this server in `/proc` and `/sys` from programs of an environment.
//!
//! Its memory and secrets, for confinement; its disks, firmware and kernel command line, because hooks of boot loaders and
//! initramfs would take them for the node's, which boots over the network. `/proc/mounts` names NFS for both halves; the
//! tables of single processes cannot be replaced, and name the pool's device.

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;

use super::filesystems::{DATA_ONLY, NETBE_DIR, tmpfs};
use crate::fs::mounts::{Detached, Forbids};
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;

/// Files that read as empty.
const EMPTY: &[&str] = &[
    // The server's memory and secrets.
    "proc/kcore",
    "proc/kmsg",
    "proc/keys",
    "proc/key-users",
    "proc/kallsyms",
    "proc/kpagecgroup",
    "proc/kpagecount",
    "proc/kpageflags",
    "proc/timer_list",
    // Its disks.
    "proc/diskstats",
    "proc/mdstat",
    "proc/partitions",
    "proc/swaps",
];

/// The kernel command line, which kernel-install and others copy into boot entries.
const COMMAND_LINE: (&str, &str) = ("proc/cmdline", "root=/dev/nfs ip=dhcp\n");

/// The mount table in which programs look up the root's device: a link, over which a file is mounted.
const MOUNTS: &str = "proc/mounts";
/// The target of the link.
const OWN_MOUNTS: &str = "proc/self/mounts";

/// Directories that read as empty: disks, and firmware.
const NO_ENTRIES: &[&str] = &[
    "proc/scsi",
    "sys/block",
    "sys/class/block",
    "sys/dev/block",
    "sys/firmware",
    "sys/fs/btrfs",
];

/// Hides all of these; files that this kernel does not have are left out.
pub(super) fn hide(tree: &Tree) -> anyhow::Result<()> {
    let mounts = tree.read_text(OWN_MOUNTS).context("reading the mounts")?;
    let mounts = mounts.map(|text| of_a_node(&text)).unwrap_or_default();
    let named = EMPTY.iter().map(|path| (*path, "empty", ""));
    let (path, content) = COMMAND_LINE;
    let given = [(path, "cmdline", content), (MOUNTS, "mounts", &mounts)];
    for (path, name, content) in named.chain(given) {
        if let Some(place) = open_if_exists(tree, path)? {
            let source = format!("{NETBE_DIR}/{name}");
            tree.write(&source, content.as_bytes())?;
            let source = tree.open_at(&source, OFlag::O_RDONLY, Mode::empty())?;
            Detached::copy_of(&source, DATA_ONLY | Forbids::MOUNT_ATTR_RDONLY)
                .and_then(|copy| copy.attach(&place))
                .with_context(|| format!("/{path}"))?;
        }
    }
    for path in NO_ENTRIES {
        if let Some(place) = open_if_exists(tree, path)? {
            tmpfs("555", "4k", DATA_ONLY | Forbids::MOUNT_ATTR_RDONLY)
                .and_then(|nothing| nothing.attach(&place))
                .with_context(|| format!("/{path}"))?;
        }
    }
    Ok(())
}

/// Returns a mount table (fstab(5)) in which mounts from a device, which is the pool's, are replaced by the node's NFS mounts.
fn of_a_node(mounts: &str) -> String {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            [device, point, _, options, ..] if device.starts_with('/') => {
                let access = options.split(',').next().unwrap_or("rw");
                format!("server:{point} {point} nfs {access},vers=3,addr=0.0.0.0 0 0\n")
            }
            _ => format!("{line}\n"),
        }
    };
    mounts.lines().map(line).collect()
}

fn open_if_exists(tree: &Tree, path: &str) -> anyhow::Result<Option<OwnedFd>> {
    Ok(if_exists(tree.open_without_links(path, OFlag::O_PATH))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_pool_are_shown_as_nfs() {
        let mounts = "/dev/sda1 / btrfs rw,nosuid,subvolid=257,subvol=/nodes/nog/envs/a/root 0 0\n\
                      proc /proc proc ro 0 0\n/dev/sda1 /boot\\040x btrfs ro,nosuid 0 0\n";
        let told = "server:/ / nfs rw,vers=3,addr=0.0.0.0 0 0\nproc /proc proc ro 0 0\n\
                    server:/boot\\040x /boot\\040x nfs ro,vers=3,addr=0.0.0.0 0 0\n";
        assert_eq!(of_a_node(mounts), told);
    }
}
