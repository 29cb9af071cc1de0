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
/// directory where its btrfs is mounted, or ssh://USER@HOST:PORT/DEVICE, a disk of the running node (USER, PORT and DEVICE may
/// be left out; DEVICE is then the disk of its /). An empty disk is partitioned and formatted; one with other content only with
/// --yes. If the disk has an environment that this one comes from, only the differences are sent.
///
/// The root is complete on the disk before the boot files of the environment name it: if deploy is interrupted, the node boots
/// the same environment as before. An environment made from it later, as by upgrade, has its root on this server, and the node
/// boots it over NFS until it is deployed. Meanwhile other commands go on with the node; only the environment that is deployed
/// cannot be destroyed, renamed, run in, or deployed elsewhere. If it would not boot by the end, deploy is refused, and it boots
/// as before.
///
/// An initramfs that would not find the disk is refused, with the command that repairs it. It lacks the module of the
/// filesystem, or the driver that the running node, reached by ssh, uses for that disk; or, for a disk of this server, the
/// drivers of all disks.
///
/// With --filesystem ext4, the partition is formatted and holds only this root: another environment needs another partition,
/// and every deploy copies the whole root. An ext4 whose environment still exists is not formatted.
///
/// Lines of fstab and crypttab that netbe had commented out, and mount and swap units that it had disabled, are enabled again if
/// netbe has seen their disk: any disk of a node that is reached by ssh, otherwise the target disk. A line of crypttab that asks
/// for a passphrase is enabled only if fstab mounts the opened volume, and one that formats its disk at each boot (swap, tmp, a
/// random key) never. In an environment made from it they are disabled again until it is deployed.
///
/// deploy names the files that the node has changed in its roots on the disk. Old roots stay on the disk, also those of destroyed
/// environments. If room is needed, deploy removes roots that this server has written for the node and that the node no longer
/// boots, the oldest first, and names them with the changes in them. An ext4 that is formatted loses everything. Changes that the
/// node makes to its root on this server after deploy has begun are not on the disk.
///
/// With --boot, the boot half is written to a card or stick, and the root stays on this server: for a machine that cannot boot
/// over the network. That is a Raspberry Pi, a PC with UEFI firmware whose boot half has Debian's signed shim and GRUB, or a
/// board with U-Boot. It boots from the card, and mounts its root over NFS as before. TARGET is the card's device, whole or
/// its FAT partition, which must not be mounted, or the directory where it is mounted. An empty device is formatted with one
/// FAT partition; one without FAT that has other content, only with --yes.
///
/// The environment is verified as by activate. Its boot files go into a new directory of the card, netbe/ENV-ID. Then one rename
/// replaces the file that names the directory (config.txt at the top; grub/grub.cfg; extlinux/extlinux.conf): an interrupted
/// deploy leaves the card with the old environment or the new one. Before that, firmware files that differ (start*.elf,
/// fixup*.dat, bootcode.bin; EFI/BOOT) are replaced one by one: an interruption during that can leave firmware of both. The
/// directory of the previous environment stays until the next deploy. Other files of the card are not touched, and an original
/// config.txt, grub.cfg or extlinux.conf is kept as NAME.before-netbe. While the card is written, other commands go on with
/// the node; one card is written at a time.
///
/// From then on the node boots from the card, whichever environment is active: activate, rollback and set --existing warn if the
/// card is out of date, status and check report it, and --once and --try are refused. The environment on the card cannot be
/// destroyed, pruned or renamed. TARGET none records that the node has no card any more.
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
    /// The filesystem of a new disk: btrfs holds several roots, ext4 one
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
