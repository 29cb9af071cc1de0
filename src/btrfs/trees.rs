//! What btrfs' own trees take on disk.
//!
//! Not whose they are: a block of them belongs to whoever reaches it first, so a sum for one subvolume is known only once it
//! is destroyed.

use std::io;
use std::path::{Path, PathBuf};

use super::subvolume::identity;
use crate::fs::path_error::if_exists;

/// Returns the bytes that the trees of the filesystem at a path take, each copy counted; `None` where the kernel does not tell.
///
/// # Errors
/// `ENOTTY` where it is not btrfs.
pub fn size(path: &Path) -> io::Result<Option<u64>> {
    let filesystem = identity::mounted_filesystem(path)?;
    let place = PathBuf::from("/sys/fs/btrfs").join(filesystem.to_string());
    // btrfs(5): what the blocks in use of this kind take on disk.
    let text = if_exists(std::fs::read_to_string(
        place.join("allocation/metadata/disk_used"),
    ))?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}
