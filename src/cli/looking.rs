//! Looking into environments: at their files, and at how they differ.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::Changing;
use super::candidates;
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
/// From the first to the second; of one alone, from what it was made from to it. Packages, what it boots with,
/// and files; of more than a few dozen files how many differ where, and --files shows each.
///
/// Packages: added, removed, upgraded and downgraded, by the package databases of both (dpkg, rpm, pacman,
/// apk), which are read without running anything. Where what it was made from is gone, what its upgrade
/// changed when it made it.
///
/// Files: added (+), removed (-) and changed (M) in content, permissions, owner, type, link target, device
/// numbers, ACLs, capabilities or other extended attributes, in both halves. Times are no difference, nor is
/// which names are one file, nor what is in a nested subvolume. Where both come from one environment only what
/// was written since is looked at, so it costs what changed; else all files are. A directory that was added or
/// removed is one line with what is in it; -v shows every file. Without being root all files are walked, and
/// what may not be read is told.
///
/// Boot: the kernel command line, an argument a line, the loader's configuration (config.txt, pxelinux.cfg)
/// and fstab, as unified text.
///
/// What says which environment or machine this is differs by nature, and is told apart: where root and boot
/// half are (root=, nfsroot=, ip=, netbe's line in fstab), and between two nodes host name, machine-id, ssh
/// host keys, leases and random seeds. In the document it has "identity": true.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe diff ordo/next
  netbe diff nog ordo
  netbe diff --files nog/first nog/next | less
  netbe diff --json nog/first nog/next | jq -r '.packages.upgraded[].name'
  netbe diff --files --json nog | jq -r '.files[] | select(.identity | not) | .path'")]
pub struct Diff {
    /// The first; alone, the one that is compared with its origin
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub first: Operand,
    /// The second
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub second: Option<Operand>,
    /// Only which packages differ
    #[arg(long, group = "what")]
    pub packages: bool,
    /// Only which files differ
    #[arg(long, group = "what")]
    pub files: bool,
    /// Only how they boot
    #[arg(long, group = "what")]
    pub boot: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}
