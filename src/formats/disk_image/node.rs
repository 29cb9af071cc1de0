//! A file of a filesystem that is read in user space, and what receives its names and data.

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use nix::sys::stat::SFlag;

use crate::fs::copy::attributes::Attributes;

/// A file's attributes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: SFlag,
    pub(super) attributes: Attributes,
    /// Names of extended attributes that are not portable.
    pub(super) left_out: Vec<OsString>,
    pub(super) size: u64,
    /// Number of hard links.
    pub(super) links: u32,
    /// Device number, in the encoding of the running kernel.
    pub(super) device: u64,
}

/// Receives the names in a directory, and the files.
pub(super) type OnName<'a> = &'a mut dyn FnMut(&OsStr, u32) -> Result<()>;
/// Receives the data of a file in order, without holes: offset and bytes.
pub(super) type OnData<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;
