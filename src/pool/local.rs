//! The pool on the disk that this machine boots from: its place, and finding it.
//!
//! It is a subvolume at the top level of the filesystem, so that no environment contains it, and is mounted at a fixed place,
//! which only root can make. It exports nothing, so its records can be in it: they stay the same in every root.

use std::path::{Path, PathBuf};

use super::layout;

/// The subvolume, as a path from the top level.
pub const SUBVOLUME: &str = "netbe";

/// Its mount point.
pub const DIR: &str = "/run/netbe/local";

/// The options that it is mounted with.
pub const OPTIONS: &str = "subvol=netbe,noatime,nosuid,nodev";

/// Returns the directory of its state directory, in it.
pub fn states() -> PathBuf {
    Path::new(DIR).join("state")
}

/// Returns whether the pool exists and is mounted.
pub fn is_there() -> bool {
    layout::pool_record(Path::new(DIR)).exists()
}

/// Returns the directory of state directories in the pool, if a directory is this pool: any other pool is writable by machines.
pub fn states_of(dir: &Path) -> Option<PathBuf> {
    (dir == Path::new(DIR)).then(states)
}
