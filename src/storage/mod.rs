//! The kernel's file services: btrfs subvolumes, opening beneath a root, replacing a file.
//!
//! Nothing here knows what a node or an environment is.

pub mod beneath;
pub mod bind;
pub mod btrfs;
pub mod copy;
pub mod interrupt;
pub mod replace;
