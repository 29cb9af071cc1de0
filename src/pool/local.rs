//! The pool on the disk that this machine boots from: where it is, and how it is found.
//!
//! It is a subvolume at the top level of the filesystem, so that no environment contains it, and is mounted at a fixed place,
//! which root alone can make. It exports nothing, so its records are in it: they stay when the root is another one.

use std::path::{Path, PathBuf};

use super::layout;

/// The subvolume, as a path from the top level.
pub const SUBVOLUME: &str = "netbe";

/// Where it is mounted.
pub const DIR: &str = "/run/netbe/local";

/// The options that it is mounted with.
pub const OPTIONS: &str = "subvol=netbe,noatime,nosuid,nodev";

/// Returns the directory of its state directory, in it.
pub fn states() -> PathBuf {
    Path::new(DIR).join("state")
}

/// Returns whether it is there.
pub fn is_there() -> bool {
    layout::pool_record(Path::new(DIR)).exists()
}

/// Returns the directory of state directories, where a directory is this pool: any other may be written by machines.
pub fn states_of(dir: &Path) -> Option<PathBuf> {
    (dir == Path::new(DIR)).then(states)
}
