//! Files: rooted in a directory, replaced atomically, copied exactly, mounted.
//!
//! Not for what any of them means: nothing here knows a node, or a format.

pub mod atomic;
pub mod bind;
pub mod copy;
pub mod dir_names;
pub mod free_space;
pub mod interrupt;
pub mod interruptible_io;
pub(crate) mod mounts;
pub mod opener;
pub mod rooted;
pub mod same_content;
pub mod shown_path;
pub mod threads;
