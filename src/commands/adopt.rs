//! `netbe adopt`

use anyhow::Result;
use clap::Args;

use super::args::Changing;
use super::ask;
use super::session::Session;
use crate::lifecycle::{Mode, Outcome, adopt};
use crate::pool::NodeName;

/// Make this machine itself a node
///
/// For a machine that boots from its own disk, by GRUB or systemd-boot, from a subvolume of a btrfs filesystem: its running
/// system becomes the first environment of a node, NODE or else its host name, and the loader boots the active environment. The
/// installed system is not changed, and keeps its menu entry.
///
/// GRUB reads btrfs: it gets one entry for the active environment, and another that lists all. systemd-boot does not: netbe
/// copies kernels to the EFI system partition, those of environments with the same kernel once, with an entry for each
/// environment that has room there. Activating an environment without room there is refused.
///
/// The pool is the subvolume netbe at the top level of the filesystem, mounted at /run/netbe/local. It has its own records, and
/// exports nothing. Commands without --pool use it if there is no pool in /srv/netbe, or if they name this machine or no node.
///
/// Filesystems that fstab mounts elsewhere than at / and /boot (/home, /var/log) stay shared by all environments. So do
/// subvolumes in the root, for which the environment's fstab gets lines. /boot becomes a subvolume of each environment, with its
/// own kernels.
///
/// activate --once and --try work with systemd-boot, by a variable of the firmware, and where GRUB can write: on an EFI system
/// partition, a partition with ext4 that is mounted at /boot, or, from GRUB 2.14 on, in the header of a btrfs that is on one
/// plain partition. The loader deletes the setting for one boot there before that boot; a trial passes when the system has
/// reached boot-complete.target.
///
/// With netbe set packages.before=on, the package managers of the running system make an environment before they change it, by
/// hooks that adopt writes; off by default.
///
/// adopt shows its steps, and asks. It is refused if the root is not on btrfs, on a live system, if neither loader boots the
/// machine, or if GRUB cannot read its disk. After an interruption, adopt again finishes the work; it also mounts a pool that is
/// not mounted. --undo removes the entries from the loader's menu; the environments stay.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe adopt -n
  netbe adopt
  netbe adopt --undo")]
pub struct Adopt {
    /// The name of the node [default: the host name]
    #[arg(value_name = "NODE", conflicts_with = "undo")]
    pub node: Option<NodeName>,
    /// Remove netbe's entries from the loader's menu
    #[arg(long)]
    pub undo: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Makes this machine a node, or removes its menu again.
pub fn run(session: &Session, args: &Adopt) -> Result<u8> {
    let mode: Mode = args.changing.into();
    if args.undo {
        if let Some(node) = session.done(adopt::undo(mode)?)? {
            session.sentence(&format!(
                "The loader's menu has no entry of netbe any more; the environments of {node} are still there."
            ))?;
        }
        return Ok(0);
    }
    let node = args.node.as_ref();
    if !args.yes
        && !mode.dry_run
        && let Outcome::Planned(steps) = adopt::adopt(node, mode.dry())?
    {
        match ask::ask(session, &steps, "Nothing was changed.")? {
            Some(true) => {}
            Some(false) => return Ok(0),
            None => {
                let why = format!("nothing was changed: {}", ask::NO_TERMINAL);
                return Err(crate::failure::Failure::refused(why)
                    .hint_to("to go on without being asked", "netbe adopt --yes")
                    .into());
            }
        }
    }
    if let Some(done) = session.done(adopt::adopt(node, mode)?)? {
        let node = &done.node;
        session.sentence(&match &done.made {
            Some(made) => format!(
                "{node} is a node; {made} is its running system and its next boot. Next: netbe upgrade"
            ),
            None if !done.loader_was_configured => format!("The pool of {node} is mounted again."),
            None => format!("The loader boots the active environment of {node} again."),
        })?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}
