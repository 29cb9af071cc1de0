//! netbe manages boot environments for network-booted machines on one btrfs filesystem.
//!
//! `main` parses, calls one command, prints one error. A module may use those after it in this list, never those
//! before: [`commands`], [`output`], [`lifecycle`], [`staged`], [`serve`], [`publish`], [`evidence`], [`card`], [`stream`], [`merge`],
//! [`pool`], [`packages`], [`boot`], [`images`], [`btrfs`], [`formats`], [`sandbox`], [`fs`]. All may use [`failure`], [`hex`] and [`terminal`].

pub mod boot;
pub mod btrfs;
pub mod card;
pub mod commands;
pub mod evidence;
pub mod failure;
pub mod formats;
pub mod fs;
pub mod hex;
pub mod images;
pub mod lifecycle;
pub mod merge;
pub mod output;
pub mod packages;
pub mod pool;
pub mod publish;
pub mod sandbox;
pub mod serve;
pub mod staged;
pub mod stream;
pub mod terminal;
