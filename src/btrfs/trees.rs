//! The size of btrfs' own trees on disk.
//!
//! Not for their size by subvolume: subvolumes share blocks of trees, so the space that one holds alone is known only after
//! it is destroyed.

use std::io;
use std::path::{Path, PathBuf};

use super::subvolume::identity;
use crate::fs::path_error::if_exists;

/// Returns the size of the trees of the filesystem at a path in bytes, with each copy counted; `None` if the kernel does not
/// provide it.
///
/// # Errors
/// `ENOTTY` where it is not btrfs.
pub fn size(path: &Path) -> io::Result<Option<u64>> {
    let filesystem = identity::mounted_filesystem(path)?;
    let place = PathBuf::from("/sys/fs/btrfs").join(filesystem.to_string());
    // btrfs(5): the size on disk of the used blocks of this type.
    let text = if_exists(std::fs::read_to_string(
        place.join("allocation/metadata/disk_used"),
    ))?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}
