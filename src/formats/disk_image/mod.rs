//! Disk images: their partitions and filesystems.
//!
//! Read-only, and in user space: untrusted images do not reach the server's kernel. On request, and for other
//! filesystems, the kernel mounts them, invisible to other processes. Not for choosing the root partition.

mod containers;
mod ext;
mod fat;
mod fields;
mod guarded;
mod loop_device;
mod mount;
mod node;
mod partitions;
mod path;
mod readable;
mod spool;
mod superblock;
mod window;

pub use containers::Container;
pub use fat::{copy as copy_fat, names as fat_names};
pub use mount::{Access, Mounted};
pub use partitions::{Partition, has_partitions, partitions};
pub use readable::{Readable, Unread};
pub use spool::{spool, spool_range};
pub use superblock::Filesystem;
pub use window::Window;
