//! The request of a `deploy` of a root, and the context of its steps.

use super::disk::{Disk, Filesystem, Target};
use crate::boot::DiskRoot;
use crate::lifecycle::Mode;
use crate::pool::stage::Staged;
use crate::pool::{Environment, Operand, Pool};

/// The request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment; of a node alone, the active one.
    pub operand: Operand,
    /// The disk.
    pub target: Target,
    /// Whether a disk that holds something else is formatted.
    pub format: bool,
    /// The filesystem to format it with; by default an existing btrfs is used as it is, and anything else is formatted as btrfs.
    pub filesystem: Option<Filesystem>,
}

/// The context of the steps.
pub(super) struct Work<'a> {
    pub(super) pool: &'a Pool,
    pub(super) request: &'a Request,
    pub(super) disk: Disk<'a>,
    pub(super) mode: Mode,
    pub(super) env: &'a Environment,
    /// Its name on the disk.
    pub(super) name: String,
    /// The name of the root on the disk that it is sent as a difference to.
    pub(super) parent: Option<String>,
    /// What the disk is formatted with, if it is.
    pub(super) formats: Option<Filesystem>,
    /// The disk or partition, and the filesystems and partitions on it.
    pub(super) device: String,
    pub(super) holds: Vec<String>,
    /// The signatures on the disk when its state was read.
    pub(super) held: String,
    /// The UUID of its filesystem.
    pub(super) uuid: String,
    /// The digest of the boot files as they were when the root was copied.
    pub(super) boot_files: String,
    /// The free space of the disk, in bytes.
    pub(super) free: u64,
    /// The size of the disk, in bytes.
    pub(super) size: u64,
    /// The size of a whole root, in bytes; `None` for a difference, whose size is not known before it is sent.
    pub(super) takes: Option<u64>,
    /// The roots on the disk, the oldest first.
    pub(super) has: Vec<String>,
    pub(super) root: DiskRoot,
    /// The stage that marks the sent root as needed until the boot files name it.
    pub(super) stage: Option<Staged>,
    /// The roots removed from the disk, a sentence each.
    pub(super) removed: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}
