//! Making a pool, bringing systems in, properties.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::candidates;
use super::{Changing, Said};
use crate::pool::{NodeName, Operand, properties};

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

/// Bring an operating system in as an environment
///
/// SOURCE is a directory, a tar archive (plain, gzip, xz, zstd), a disk image (raw or compressed so, such
/// as Raspberry Pi OS), a stream of netbe export, or - for one of these on standard input; which it is is
/// told by its content. A NODE that does not exist becomes a template: a node no machine boots, to make
/// others from. Owners, modes, hard links, devices, sparse files, extended attributes and ACLs arrive as
/// they were.
///
/// A stream knows what it is of. Without ENV the environment is called what it was called there, where that
/// is free. Into a node of the same name it comes as the machine it was, host keys and all; into another one
/// it gets that node's identity, as by clone. A NODE that does not exist becomes one, without the properties
/// it had: no machine can ask for it yet; a template where it was one. What is damaged, cut short or rests on
/// something that is not here is refused, and leaves nothing (see netbe-export).
///
/// A stream of what changed since another environment holds all of that one, once it has arrived: it rests on
/// what NODE has, and on another node's only where --base names that.
///
/// The filesystems of a disk image are read by netbe itself, and never mounted: ext2, ext3 and ext4, with a
/// journal that was not played back, and FAT. With --kernel-driver this machine's kernel mounts them, out of
/// sight, which it can do with btrfs, xfs, f2fs, squashfs and erofs too: a kernel trusts what it mounts, and an
/// image made for that can take the machine down, or over. What only the kernel can read is refused without.
///
/// The boot half is what the system's own fstab mounts at /boot/firmware or /boot, else the content of
/// /boot.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe import raspios 2026-10-01-raspios-lite-arm64.img.xz
  mmdebstrap --include=linux-image-amd64,systemd-sysv trixie - | netbe import debian -
  netbe import nog/old /mnt/sdcard --boot /mnt/sdcard-boot -d 'nog, from its SD card'
  ssh other netbe export nog/a | netbe import nog/a")]
pub struct Import {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::nodes))]
    pub target: Operand,
    /// What to bring in; standard input without it
    #[arg(value_name = "SOURCE", default_value = "-", hide_default_value = true, value_hint = ValueHint::AnyPath)]
    pub source: std::ffi::OsString,
    /// Where the boot half is, if not in SOURCE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub boot: Option<PathBuf>,
    /// The node whose environments a stream of changes may rest on; NODE itself without it
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub base: Option<NodeName>,
    /// Have this machine's kernel read a disk image; only for one whose author you trust
    #[arg(long)]
    pub kernel_driver: bool,
    /// What to say of it.
    #[command(flatten)]
    pub said: Said,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Set properties of a node, or of the pool
///
/// Without NODE the value holds for every node that has none of its own. An empty value takes a setting
/// away. What the network is offered follows at once; environments keep the command line they were made
/// with, and new ones get the new.
///
/// nfs.subtree-check: the kernel's NFS server takes a handle for what it says, so the root user of a node can make handles
/// of its own for any file of the pool's filesystem, those of other nodes too. With on, every call is checked to stay below
/// the export. The price: a file that is renamed into another directory while a machine has it open is lost to it (Stale
/// file handle), and each call on a file looks its parents up. It holds from a machine's next boot. What root runs or
/// obeys on the server lies on no pool and needs no such check; nodes that do not trust one another can also have a pool
/// each.
#[derive(Debug, Args)]
#[command(after_long_help = properties_help())]
pub struct Set {
    /// PROPERTY=VALUE, several; then the node
    #[arg(required = true, value_name = "PROPERTY=VALUE… [NODE]", add = ArgValueCompleter::new(candidates::assignments))]
    pub words: Vec<String>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Print properties
///
/// NODE PROPERTY VALUE SOURCE: local, pool or default.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe get
  netbe get all nog
  netbe get -H mac nog | cut -f3")]
pub struct Get {
    /// The property, or all
    #[arg(value_name = "PROPERTY|all", default_value = "all", add = ArgValueCompleter::new(candidates::properties))]
    pub property: String,
    /// The node; the pool and every node without it
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub node: Option<NodeName>,
    /// For scripts: no header, tabs between fields
    #[arg(short = 'H', conflicts_with = "json")]
    pub machine: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Returns what stands below the options of `set`: examples, and every property.
fn properties_help() -> String {
    let mut text = String::from(
        "Examples:\n  netbe set mac=dc:a6:32:01:02:03 nog\n  netbe set ip=10.0.0.5/24,10.0.0.1 nog\n  netbe set server=10.0.0.1\n  netbe set mac= nog\n\nProperties:\n",
    );
    for p in properties::ALL {
        text.push_str(&format!(
            "  {:<16}{}: {}; default: {}\n",
            p.name, p.help, p.value, p.default
        ));
    }
    text.trim_end().to_string()
}
