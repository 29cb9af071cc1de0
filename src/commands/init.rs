//! `netbe init`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::args::Changing;
use super::ask;
use super::session::Session;
use crate::lifecycle::init::{self, Ground, Request, TakeOver};
use crate::lifecycle::{Mode, Outcome};

/// Make a pool
///
/// Makes DIR (default: the pool) a pool. A directory on btrfs is used as it is. --file formats a sparse image beside it
/// (DIR.btrfs) and mounts it there, for a machine without a spare disk; --device does so with a block device, under any
/// of its names: it is mounted again by the UUID of its filesystem. A systemd mount unit makes the mount permanent; without
/// systemd, the line for fstab is printed. If init fails, what it has made is removed again. On an existing pool init sets
/// --server and the mount options, and changes nothing else.
///
/// Nodes write to the pool over NFS, and a client that may mount one export can address every file of its filesystem. So
/// the pool is mounted nosuid,nodev (a directory of a larger filesystem by a bind mount), and a directory on the filesystem of /,
/// /etc or the state directory is refused. What netbe trusts (records, properties, boot evidence, published
/// configuration, locks) is on the server's own disk, in /var/lib/netbe/UUID (--state), with the key that
/// authenticates each environment's record on the pool.
///
/// A pool from another server, a backup or an older netbe is refused by every command until --take-over accepts it.
/// It also gives a node whose record is lost or garbage one again: the pool's copy, or one with the names its machine asks for.
/// --take-over first shows the settings that this server would use, commands that run as root first, and asks. The property
/// power.cycle is not taken over, nor is the pool's evidence of past boots: every environment counts as maybe
/// running until its node is known to run another one.
///
/// With --services, this machine serves the new or existing pool. netbe serve provides the boot files by TFTP
/// (netbe-tftp.service). dnsmasq, for DHCP, reads the pool's configuration by one line in /etc/dnsmasq.d/netbe.conf, and is
/// restarted if the configuration is valid. A systemd timer finishes trials (netbe-reconcile.timer). A file that
/// netbe did not write is not overwritten; init refuses instead. The property dhcp selects what dnsmasq does.
///
/// A server can have several pools: init makes each, and with --services all are served by the same units (--all-pools) and
/// the same dnsmasq. A MAC address or serial belongs to one pool only. The properties dhcp and server of the first pool hold
/// for all; each further pool has its own file in /etc/dnsmasq.d. --pool selects the pool of a command.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe init --file 64G
  netbe init /srv/netbe --device /dev/sda1 --server 10.0.0.1
  netbe init --services
  netbe init /srv/lab --file 64G --services
  netbe init /mnt/usb/netbe
  netbe init /mnt/usb/netbe --take-over -n")]
pub struct Init {
    /// The directory [default: the pool]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Make a sparse image of SIZE beside DIR: 64G, 500M
    #[arg(long, value_name = "SIZE", conflicts_with = "device", value_parser = crate::lifecycle::init::size)]
    pub file: Option<u64>,
    /// Format this block device
    #[arg(long, value_name = "DEV", value_hint = ValueHint::FilePath)]
    pub device: Option<PathBuf>,
    /// Address by which nodes reach this machine [default: the one on the default route]
    #[arg(long, value_name = "IP")]
    pub server: Option<String>,
    /// Set up netbe, dnsmasq and systemd to serve the pool
    #[arg(long)]
    pub services: bool,
    /// Accept the records of a pool that is new to this server
    #[arg(long, conflicts_with_all = ["file", "device", "server"])]
    pub take_over: bool,
    /// Format a device that is not empty; take over without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Makes a pool, or takes one over.
pub fn run(session: &Session, args: Init) -> Result<u8> {
    let mut request = Request {
        dir: args.dir.unwrap_or_else(|| session.pool_dir.clone()),
        states: session.states.clone(),
        ground: match (args.file, args.device) {
            (Some(bytes), _) => Ground::File(bytes),
            (_, Some(device)) => Ground::Device(device, args.yes),
            _ => Ground::Directory,
        },
        server: args.server,
        services: args.services,
        take_over: match (args.take_over, args.yes) {
            (false, _) => TakeOver::No,
            (true, true) => TakeOver::Believe,
            (true, false) => TakeOver::Show,
        },
    };
    let mode: Mode = args.changing.into();
    if request.take_over == TakeOver::Show
        && !mode.dry_run
        && let Outcome::Planned(steps) = init::init(&request, mode.dry())?
    {
        match ask::ask(session, &steps, "Nothing was changed.")? {
            Some(true) => request.take_over = TakeOver::Believe,
            Some(false) => return Ok(0),
            // Refused below, with what to type.
            None => {}
        }
    }
    let outcome = init::init(&request, mode)?;
    if let Some(made) = session.done(outcome)? {
        let dir = made.dir.display();
        let pool = match made.dir == session.pool_dir {
            true => String::new(),
            false => format!(" --pool {dir}"),
        };
        let next = format!("Next, import a system: netbe{pool} import debian debian.tar.zst");
        session.sentence(&match (made.taken_over, made.was_there) {
            (true, _) => format!("Took over the pool in {dir}."),
            (false, true) => format!("{dir} is already a pool."),
            (false, false) => format!("Made a pool in {dir}. {next}"),
        })?;
        match made.services.as_deref() {
            None => {}
            Some([]) => session.sentence("Its services are already installed.")?,
            Some(steps) => {
                // Paths, which a terminal would break anywhere.
                let steps: String = steps.iter().map(|step| format!("\n  {step}")).collect();
                session.sentence(&format!("Installed its services:{steps}"))?;
            }
        }
        session.notes(&made.notes);
        session.warnings(&made.warnings);
    }
    Ok(0)
}
