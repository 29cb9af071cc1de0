//! The space of environments: `list --space` against the blocks on the disk, the kernel's quota groups, and the space that
//! `destroy` frees.
//!
//! Quota groups are turned on here and nowhere else.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod given;
mod ground;
mod list;
mod random;
mod returns;
mod truth;
