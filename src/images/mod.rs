//! A root half that is one disk image: an ext4 filesystem that a machine uses as its disk, over iSCSI.
//!
//! The half holds one sparse file, so that it is cloned, sent and deleted like any other half. A machine writes that
//! filesystem: this server's kernel parses it only if the administrator has enabled that, and no process with privileges does.
//! Not for offering the image to machines.

mod ends_with_us;
mod fuse;
mod fuse2fs;
mod made;
mod opened;

pub use fuse::become_mounter_if_asked;
pub use made::{fill, spread, uuid_of};
pub use opened::{Access, Driver, Opened};

/// The name of the image file in a root half.
pub const DISK: &str = "disk.img";
