//! `netbe deploy`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::deploy::{self, Request, disk::Target};
use crate::pool::Operand;

/// Put an environment's root on its node's own disk
///
/// Kernel and initramfs still come from this server, and activate, rollback and upgrade work as before; the root is on the
/// disk, in a subvolume for each environment that was deployed. TARGET is a disk or a partition of this server, a directory
/// of a btrfs on it, or ssh://HOST[/DEVICE], a disk of the running node (default: the one of its /). A disk that is empty is
/// partitioned and formatted; one that holds anything else, with --yes. What the disk has of an environment that this one comes from is
/// not sent again.
///
/// The root is whole on the disk before the boot files of the environment name it: if deploy is cut short, the node boots what
/// it booted before. An environment made from it later, as by upgrade, has its root on this server until it is deployed; activated
/// before, the node boots it over NFS.
///
/// What the node has changed on its disk is told before another environment comes beside it. It stays there. What the node writes
/// into its root on this server after deploy has begun is not on the disk.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe deploy nog /dev/sdb
  netbe deploy nog/second ssh://root@nog
  netbe deploy nog ssh://root@nog/dev/nvme0n1 --yes")]
pub struct Deploy {
    /// The environment; of a node alone, the active one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operand: Operand,
    /// A disk, a partition, a directory on it, or ssh://HOST[/PATH]
    #[arg(value_name = "TARGET")]
    pub target: Target,
    /// Format a disk that is not empty
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Puts an environment's root on its node's own disk.
pub fn run(session: &Session, args: Deploy) -> Result<u8> {
    let pool = session.pool()?;
    let request = Request {
        operand: args.operand,
        target: args.target,
        format: args.yes,
    };
    let outcome = deploy::deploy(&pool, &request, args.changing.into())?;
    if let Some(done) = session.done(outcome)? {
        session.sentence(&format!(
            "{} has its root on {}, in {}.",
            done.id,
            done.root.device,
            done.root.subvolume.unwrap_or_default()
        ))?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}
