//! What a `deploy` of a root is asked for, and what its steps work with.

use super::disk::{Disk, Filesystem, Target};
use crate::boot::DiskRoot;
use crate::lifecycle::Mode;
use crate::pool::stage::Staged;
use crate::pool::{Environment, Operand, Pool};

/// What is deployed, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The environment; of a node alone, the active one.
    pub operand: Operand,
    /// The disk.
    pub target: Target,
    /// Whether a disk that holds something else is formatted.
    pub format: bool,
    /// What it is formatted with; by default a btrfs is taken as it is, and anything else becomes one.
    pub filesystem: Option<Filesystem>,
}

/// What the steps work with.
pub(super) struct Work<'a> {
    pub(super) pool: &'a Pool,
    pub(super) request: &'a Request,
    pub(super) disk: Disk<'a>,
    pub(super) mode: Mode,
    pub(super) env: &'a Environment,
    /// Its name on the disk.
    pub(super) name: String,
    /// The name of the one that it is sent as a difference to.
    pub(super) parent: Option<String>,
    /// What the disk held when it was looked at.
    pub(super) held: String,
    /// The UUID of its filesystem.
    pub(super) uuid: String,
    /// What tells the boot files apart from others, as they were when the root was copied.
    pub(super) boot_files: String,
    /// The free space of the disk, in bytes.
    pub(super) free: u64,
    /// The size of the disk, in bytes.
    pub(super) size: u64,
    /// How much a whole root takes, in bytes; of a difference nobody knows before it is sent.
    pub(super) takes: Option<u64>,
    /// What is on the disk, the oldest first.
    pub(super) has: Vec<String>,
    pub(super) root: DiskRoot,
    /// Shows, until the boot files name it, that what was sent is needed.
    pub(super) stage: Option<Staged>,
    /// What was removed from the disk, a sentence each.
    pub(super) removed: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}
