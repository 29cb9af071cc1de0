//! Bringing systems in, on a real btrfs: archives, images and directories made by the usual tools.
//!
//! Needs root, loop devices, btrfs-progs, dosfstools, mtools, e2fsprogs, fdisk, acl and libcap2-bin, and fails without.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod damaged;
mod directories;
mod disks;
mod hostile;
mod images;
mod pool;
mod readers;
mod rigged;
mod rigged_tables;
mod system;
mod tree;
