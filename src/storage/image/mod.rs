//! Disk images: their partitions, and the filesystems in them.
//!
//! Read only. FAT is read here in user space, for a server's kernel need not know it; other filesystems are
//! mounted, out of everybody's sight. Not for knowing which of them is whose root.

mod fat;
mod loop_device;
mod mount;
mod partitions;
mod spool;
mod superblock;
mod window;

pub use fat::{copy as copy_fat, names as fat_names};
pub use mount::{Access, Mounted};
pub use partitions::{Partition, has_partitions, partitions};
pub use spool::{spool, spool_range};
pub use superblock::Filesystem;
pub use window::Window;
