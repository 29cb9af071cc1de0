//! The card or stick that a node boots from: its device or directory, and its files in the order in which they are written.
//!
//! Not for the decision what is written to it and when: that is `lifecycle`.

mod device;
mod files;
mod target;

pub(crate) use files::{Found, Wanted, boot_files, look, take};
pub(crate) use target::Target;
