//! `netbe deploy`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::deploy::disk::{Filesystem, Target};
use crate::lifecycle::deploy::{self, CardRequest, Request};
use crate::pool::Operand;

/// Put an environment's root on its node's own disk, or its boot half on a card
///
/// Kernel and initramfs still come from this server, and activate, rollback and upgrade work as before; the root is on the
/// disk, in a subvolume for each environment that was deployed. TARGET is a disk or a partition of this server, the
/// directory where its btrfs is mounted, or ssh://USER@HOST:PORT/DEVICE, a disk of the running node (USER, PORT and DEVICE may be left out; DEVICE is the one of its / then). A disk that is empty is
/// partitioned and formatted; one that holds anything else, with --yes. What the disk has of an environment that this one comes from is
/// not sent again.
///
/// The root is whole on the disk before the boot files of the environment name it: if deploy is cut short, the node boots what
/// it booted before. An environment made from it later, as by upgrade, has its root on this server until it is deployed; activated
/// before, the node boots it over NFS.
///
/// An initramfs that would not find the disk is refused, with the command that mends it: it lacks the module of the filesystem, or a driver
/// that the running node, reached by ssh, has for that disk; or, for a disk of this server, the drivers of all disks.
///
/// With --filesystem ext4, the partition is formatted and the root is all it holds: another environment needs another partition,
/// and every deploy copies the whole root. An ext4 whose environment still exists is not formatted.
///
/// Lines of fstab and crypttab that netbe had commented out, and mount and swap units that it had disabled, come back where their disk
/// was seen: any of the node, where it is reached by ssh; otherwise those on the same disk. A line of crypttab that asks for a
/// passphrase comes back only where fstab mounts what it opens, and one that makes its disk anew (swap, tmp, a random key) never does.
/// An environment made from it has them commented out and disabled again until it is deployed.
///
/// What the node has changed on its disk is told before another environment comes beside it. It stays there, as the root of an environment
/// that was destroyed does, until room is needed: then what this server has put there for the node, and the node boots no more, is
/// removed, the oldest first, and named with what was changed in it. Of an ext4 that is formatted, nothing is kept. What the node writes
/// into its root on this server after deploy has begun is not on the disk.
///
/// With --boot, the boot half is written to a card or stick, and the root stays on this server: for a machine that cannot boot
/// over the network. That is a Raspberry Pi, a PC with UEFI firmware whose boot half has Debian's signed shim and GRUB, or a board with
/// U-Boot. It boots from the card, and mounts its root over NFS as before. TARGET is the card's device, whole or
/// its FAT partition, which must not be mounted, or the directory where it is mounted. An empty device is formatted with one
/// FAT partition; one without FAT that holds anything else, with --yes.
///
/// The environment is verified as by activate. Its boot files go into a new directory of the card, netbe/ENV-ID; then one
/// file is replaced by one rename, which is what switches (config.txt at the top; grub/grub.cfg; extlinux/extlinux.conf): a deploy that is cut short leaves the card with the old environment
/// or the new one. Before that the firmware (start*.elf, fixup*.dat, bootcode.bin; EFI/BOOT) is replaced, file by file, where it differs: cut short
/// just there, the card can have firmware of both. The directory of the environment before stays until the next deploy. Other files
/// of the card are not touched, and the text of such a file that was there first is kept as NAME.before-netbe.
///
/// From then on the node boots from the card, whatever is active: activate, rollback and set --existing warn when the card is
/// behind, status and check tell it, and --once and --try are refused. The environment on the card is not destroyed, pruned
/// or renamed. TARGET none says that the node has no card any more.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe deploy nog /dev/sdb
  netbe deploy nog/second ssh://root@nog
  netbe deploy nog ssh://root@nog/dev/nvme0n1 --yes
  netbe deploy nog /dev/sdb2 --filesystem ext4
  netbe deploy nog --boot /dev/sdb -n
  netbe deploy nog --boot /dev/sdb
  netbe deploy nog --boot /mnt
  netbe deploy nog --boot none")]
pub struct Deploy {
    /// The environment; of a node alone, the active one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operand: Operand,
    /// A disk, a partition, where it is mounted, or ssh://HOST; with --boot, a card, or none
    #[arg(value_name = "TARGET", value_hint = ValueHint::AnyPath)]
    pub target: String,
    /// Write the boot half to a card; the root stays on the server
    #[arg(long)]
    pub boot: bool,
    /// Format a disk that is not empty
    #[arg(short, long)]
    pub yes: bool,
    /// What a disk is formatted with: btrfs has several roots, ext4 one
    #[arg(long, value_name = "NAME", conflicts_with = "boot")]
    pub filesystem: Option<Filesystem>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Deploys an environment.
pub fn run(session: &Session, args: Deploy) -> Result<u8> {
    match args.boot {
        true => boot(session, &args),
        false => root(session, args),
    }
}

fn boot(session: &Session, args: &Deploy) -> Result<u8> {
    let pool = session.pool()?;
    let mode = args.changing.into();
    if args.target == "none" {
        let forgotten = deploy::forget(&pool, &args.operand.node, mode)?;
        if let Some(env) = session.done(forgotten)? {
            let node = &args.operand.node;
            session.sentence(&format!("Forgot the card of {node}, which booted {env}."))?;
        }
        return Ok(0);
    }
    let request = CardRequest {
        operand: args.operand.clone(),
        target: PathBuf::from(&args.target),
        format: args.yes,
    };
    let outcome = deploy::boot_half(&pool, &request, mode)?;
    if let Some(done) = session.done(outcome)? {
        session.sentence(&format!("The card at {} boots {}.", args.target, done.id))?;
        session.warnings(&done.warnings);
    }
    Ok(0)
}

fn root(session: &Session, args: Deploy) -> Result<u8> {
    let pool = session.pool()?;
    let request = Request {
        operand: args.operand,
        target: args.target.parse::<Target>()?,
        format: args.yes,
        filesystem: args.filesystem,
    };
    let outcome = deploy::deploy(&pool, &request, args.changing.into())?;
    if let Some(done) = session.done(outcome)? {
        let place = done
            .root
            .subvolume
            .map_or(String::new(), |it| format!(", in {it}"));
        session.sentence(&format!(
            "{} has its root on {}{place}.",
            done.id, done.root.device
        ))?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}
