//! The file systems that programs of an environment see beside their own files, and what is forbidden on each.

use std::io;

use crate::fs::mounts::{Detached, Forbids};

/// Directory of netbe's own files.
pub(super) const NETBE_DIR: &str = "run/netbe";

/// The environment's own files: no device nodes and no setuid.
pub(super) const DISK: Forbids = Forbids::MOUNT_ATTR_NOSUID.union(Forbids::MOUNT_ATTR_NODEV);
/// The kernel's own file systems.
pub(super) const DATA_ONLY: Forbids = DISK.union(Forbids::MOUNT_ATTR_NOEXEC);

/// Returns a tmpfs; all of them together use less than the machine's memory.
pub(super) fn tmpfs(mode: &str, size: &str, forbids: Forbids) -> io::Result<Detached> {
    let options = [("mode", mode), ("size", size), ("nr_inodes", "100k")];
    Detached::new("tmpfs", &options, forbids)
}
