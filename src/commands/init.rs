//! `netbe init`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::args::Changing;
use super::confirm;
use super::session::Session;
use crate::lifecycle::init::{self, Ground, Request, TakeOver};
use crate::lifecycle::{Mode, Outcome};

/// Make a pool
///
/// Makes DIR (default: the pool) a pool. A directory on btrfs is used as it is. With --file, a sparse
/// image beside it (DIR.btrfs) is formatted and mounted there: for a machine without a spare disk. With
/// --device, a block device is. The mount is made permanent by a systemd mount unit; without systemd the
/// line for fstab is printed. Again on a pool changes nothing.
///
/// Machines write a pool over NFS, and who may mount one of its exports can name every file of its filesystem. So it is
/// mounted nosuid,nodev, a directory of a larger filesystem by a bind mount of its own; a directory on the filesystem of
/// /, /etc or the state directory is refused; and what netbe believes of a pool (its records and properties, what was
/// seen, what is published, locks) stands on the server's own disk, in /var/lib/netbe/UUID (--state). There also lies the
/// key of the code that each environment's record on the pool carries.
///
/// A pool that came from another server, from a backup, or from an older netbe is refused by every command until
/// --take-over has it believed: that shows what this server would go by, commands that root would run first, and asks.
/// The property power.cycle does not come along, nor does what the pool says of past boots: each environment of its nodes
/// counts as perhaps running until its node has been seen in another one.
///
/// With --services, on a new pool or one there is, this machine serves it: netbe serve hands out boot files by TFTP
/// (netbe-tftp.service); dnsmasq, which answers DHCP, is given the pool's
/// configuration by one line in /etc/dnsmasq.d/netbe.conf and restarted, if it would start with it; and a
/// systemd timer ends trials whose time has come (netbe-reconcile.timer). Files that netbe did not write
/// are left, and it refuses. What dnsmasq is to do about DHCP says the property dhcp.
///
/// A server may have several pools: init makes each, and with --services each is served, by the same units (--all-pools) and
/// the same dnsmasq. A MAC address or serial is in one of them only. What the first pool says of DHCP (dhcp, server) holds for
/// all; a further one's line stands in a file of its own in /etc/dnsmasq.d. Commands take the pool with --pool.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe init --file 64G
  netbe init /srv/netbe --device /dev/sda1 --server 10.0.0.1
  netbe init --services
  netbe init /srv/lab --file 64G --services
  netbe init /mnt/usb/netbe
  netbe init /mnt/usb/netbe --take-over -n")]
pub struct Init {
    /// The directory; the pool without it
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Make an image of this size beside it: 64G, 500M
    #[arg(long, value_name = "SIZE", conflicts_with = "device", value_parser = crate::lifecycle::init::size)]
    pub file: Option<u64>,
    /// Format this block device
    #[arg(long, value_name = "DEV", value_hint = ValueHint::FilePath)]
    pub device: Option<PathBuf>,
    /// Address nodes reach this machine by; that on the default route without it
    #[arg(long, value_name = "IP")]
    pub server: Option<String>,
    /// Have netbe, dnsmasq and systemd serve the pool
    #[arg(long)]
    pub services: bool,
    /// Believe what a pool says that this server knows nothing of
    #[arg(long, conflicts_with_all = ["file", "device", "server"])]
    pub take_over: bool,
    /// Format a device that holds something; take over without a question
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
    if request.take_over == TakeOver::Show && !mode.dry_run {
        let shown = init::init(
            &request,
            Mode {
                dry_run: true,
                ..mode
            },
        )?;
        if let Outcome::Planned(steps) = shown
            && confirm::ask(&steps)?.is_ok()
        {
            request.take_over = TakeOver::Believe;
        }
    }
    let outcome = init::init(&request, mode)?;
    if let Some(made) = session.done(outcome)? {
        let dir = made.dir.display();
        session
            .screen
            .sentence(&match (made.taken_over, made.was_there) {
                (true, _) => format!("Took over the pool in {dir}."),
                (false, true) => format!("{dir} is a pool already."),
                (false, false) => format!("Made a pool in {dir}."),
            })?;
        match made.services.as_deref() {
            None => {}
            Some([]) => session
                .screen
                .sentence("Its services are installed already.")?,
            Some(steps) => session
                .screen
                .sentence(&format!("Installed its services: {}.", steps.join(", ")))?,
        }
        session.screen.notes(&made.notes);
        session.screen.warnings(&made.warnings);
    }
    Ok(0)
}
