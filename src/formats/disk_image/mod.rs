//! Disk images: their partitions, and the filesystems in them.
//!
//! Read only, and here in user space: what an image holds meets this code, and not the server's kernel. Where that is
//! asked for, or nothing else will do, the kernel's own drivers mount it, out of everybody's sight. Not for knowing which
//! of the partitions is whose root.

mod ext;
mod fat;
mod fields;
mod loop_device;
mod mount;
mod partitions;
mod place;
mod readable;
mod reader;
mod spool;
mod superblock;
mod window;

pub use fat::{copy as copy_fat, names as fat_names};
pub use mount::{Access, Mounted};
pub use partitions::{Partition, has_partitions, partitions};
pub use readable::{Readable, Unread};
pub use spool::{spool, spool_range};
pub use superblock::Filesystem;
pub use window::Window;
