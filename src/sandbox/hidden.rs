//! Hides from programs of an environment what `/proc` and `/sys` show of this server.
//!
//! Its memory and secrets, for confinement; its disks, firmware and kernel command line, because hooks of boot loaders and
//! initramfs take them for the node's: a machine that boots over the network has none of them. What the kernel tells of a
//! process's own mounts cannot be hidden: it names the pool's device as that of `/`.

use anyhow::{Context, bail};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::io;
use std::os::fd::OwnedFd;

use super::filesystems::{DATA_ONLY, NETBE_DIR, tmpfs};
use crate::fs::mounts::{Detached, Forbids};
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

/// What kernel-install and others copy into boot entries.
const COMMAND_LINE: (&str, &str) = ("proc/cmdline", "root=/dev/nfs ip=dhcp\n");

/// Directories that read as empty: disks, and what the server was started by.
const NO_ENTRIES: &[&str] = &[
    "proc/scsi",
    "sys/block",
    "sys/class/block",
    "sys/dev/block",
    "sys/firmware",
    "sys/fs/btrfs",
];

/// Hides all of it; what this kernel does not have is left out.
pub(super) fn hide(tree: &Tree) -> anyhow::Result<()> {
    let named = EMPTY.iter().map(|path| (*path, "empty", ""));
    let (path, content) = COMMAND_LINE;
    for (path, name, content) in named.chain([(path, "cmdline", content)]) {
        if let Some(place) = open_if_exists(tree, path)? {
            let source = format!("{NETBE_DIR}/{name}");
            tree.write(&source, content.as_bytes())?;
            let source = tree.open_at(&source, OFlag::O_RDONLY, Mode::empty())?;
            Detached::copy_of(&source, DATA_ONLY.and(Forbids::WRITING))
                .and_then(|copy| copy.attach(&place))
                .with_context(|| format!("/{path}"))?;
        }
    }
    for path in NO_ENTRIES {
        if let Some(place) = open_if_exists(tree, path)? {
            tmpfs("555", "4k", DATA_ONLY.and(Forbids::WRITING))
                .and_then(|nothing| nothing.attach(&place))
                .with_context(|| format!("/{path}"))?;
        }
    }
    Ok(())
}

fn open_if_exists(tree: &Tree, path: &str) -> anyhow::Result<Option<OwnedFd>> {
    match tree.open_without_links(path, OFlag::O_PATH) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => bail!("{e}"),
    }
}
