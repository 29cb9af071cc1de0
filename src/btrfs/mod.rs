//! btrfs: subvolumes, searches in its trees, space and extents, comparing, sending and receiving.
//!
//! Nothing here knows what a node or an environment is.

pub mod changed_since;
pub mod compare;
pub mod dedupe;
pub mod extents;
pub mod receive;
pub mod removal;
pub mod send;
pub mod space;
pub mod subvolume;
pub mod tree_search;
