//! The kernel's file services: btrfs subvolumes and trees, sharing space, opening beneath a root, replacing a file.
//!
//! Nothing here knows what a node or an environment is.

pub mod alike;
pub mod archive;
pub mod beneath;
pub mod bind;
pub mod btrfs;
pub mod compare;
pub mod compression;
pub mod copy;
pub mod dedupe;
pub mod image;
pub mod interrupt;
pub mod opener;
pub mod patient;
pub mod receive;
pub mod removal;
pub mod replace;
pub mod room;
pub mod search;
pub mod send;
pub mod source;
pub mod space;
pub mod stored;
pub mod stream;
pub mod threads;
pub mod written;
