//! The card or stick that a node boots from: where it is, and its files in the order in which they are written.
//!
//! Not for what may be written to it, nor for when it is: `lifecycle`.

mod device;
mod files;
mod target;

pub(crate) use files::{Found, Wanted, boot_files, look, take};
pub(crate) use target::Target;
