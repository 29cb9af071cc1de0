//! Looking into environments: at their files, and at how they differ.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::Changing;
use crate::commands::candidates;
use crate::pool::Operand;

/// Mount an environment, root with boot in its place
///
/// Prints the directory. What is active or may be running is mounted read-only. Devices and set-user-ID
/// programs in it have no effect there.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe mount nog/first
  netbe mount nog/first /mnt
  vi \"$(netbe mount nog/next)/etc/fstab\"; netbe umount nog/next")]
pub struct Mount {
    /// The environment
    #[arg(value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operand: Operand,
    /// Where; a directory under /run/netbe without it
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Unmount an environment
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe umount nog/first
  netbe umount /mnt")]
pub struct Umount {
    /// The environment, or where it is mounted
    #[arg(value_name = "NODE/ENV|DIR", add = ArgValueCompleter::new(candidates::environments))]
    pub what: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Show how an environment differs from another
///
/// From the first to the second; of one alone, from what it was made from to it. Packages: added, removed,
/// upgraded and downgraded, by the package databases of both (dpkg, rpm, pacman, apk), which are read without
/// running anything. Where what it was made from is gone, what its upgrade changed when it made it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe diff ordo/next
  netbe diff nog ordo
  netbe diff --json nog/first nog/next | jq -r '.packages.upgraded[].name'")]
pub struct Diff {
    /// The first; alone, the one that is compared with its origin
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub first: Operand,
    /// The second
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub second: Option<Operand>,
    /// Only which packages differ
    #[arg(long)]
    pub packages: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}
