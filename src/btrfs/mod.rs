//! btrfs: subvolumes, tree search, space and extents, comparing, sending and receiving.
//!
//! Knows nothing of nodes and environments.

pub mod changed_since;
pub mod chattr;
pub mod compare;
pub mod content;
pub mod dedupe;
pub mod extents;
pub mod health;
pub mod receive;
pub mod removal;
pub mod reserved;
pub mod send;
pub mod space;
pub mod subvolume;
pub mod tree_search;
pub mod trees;
