//! A root half that is one disk image: an ext4 that a machine has as its disk, by iSCSI.
//!
//! The half holds one sparse file, so that it is cloned, sent and deleted as any other half. A machine writes that
//! filesystem: nothing of it is parsed by this server's kernel, unless its administrator has said so, nor by a process with
//! privileges. Not for offering it to
//! machines.

mod ends_with_us;
mod fuse;
mod fuse2fs;
mod made;
mod opened;

pub use fuse::become_mounter_if_asked;
pub use made::{fill, spread, uuid_of};
pub use opened::{Access, Driver, Opened};

/// The file of a root half that is the disk.
pub const DISK: &str = "disk.img";
