//! What environments take on disk: what netbe says of it, against what is on the disk, what the kernel's quota groups
//! say, and what really comes back.
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
