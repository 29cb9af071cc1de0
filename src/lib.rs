//! netbe keeps boot environments for network-booted machines on one btrfs filesystem.
//!
//! The program is thin: `main` parses, calls one command, prints one error. The rooms below it, from
//! the top floor down, may use those under them and never those above: [`commands`], [`output`],
//! [`lifecycle`] and [`serve`], [`publish`], [`evidence`], [`stream`], [`pool`], [`packages`], [`boot`], [`btrfs`],
//! [`formats`], [`sandbox`], [`fs`]; the types of [`failure`] are everybody's, and so is what cleans all that is
//! shown, [`terminal`].

pub mod boot;
pub mod btrfs;
pub mod commands;
pub mod evidence;
pub mod failure;
pub mod formats;
pub mod fs;
pub mod lifecycle;
pub mod output;
pub mod packages;
pub mod pool;
pub mod publish;
pub mod sandbox;
pub mod serve;
pub mod stream;
pub mod terminal;
