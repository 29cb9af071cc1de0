//! Environments: making, listing, choosing, and taking them away.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::candidates;
use super::{Changing, Said};
use crate::pool::{NodeName, Operand};

/// Make an environment
///
/// For a node that exists it is made from the node's active environment; for a new one from --from, else
/// from the only template there is, and it becomes active at once, with an identity of its own: host name,
/// machine-id, ssh host keys. Without a name it gets one made of the time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe create nog
  netbe create nog --mac dc:a6:32:01:02:03 --serial 9ffefdef
  netbe create web/first --from debian --ip 10.0.0.5/24,10.0.0.1
  netbe create nog/before-the-party -d 'as it was'")]
pub struct Create {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::nodes))]
    pub target: Operand,
    /// What to make it from
    #[arg(long, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub from: Option<Operand>,
    /// MAC address of a new node; several times for several
    #[arg(long, value_name = "MAC")]
    pub mac: Vec<String>,
    /// Raspberry Pi serial of a new node
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// Address of a new node; in the help its brackets would be a link to rustdoc.
    #[arg(
        long,
        value_name = "IP",
        help = "Address of a new node: dhcp, dhcp,ADDR (reserved), or ADDR/LEN[,GATEWAY]"
    )]
    pub ip: Option<String>,
    /// What to say of it.
    #[command(flatten)]
    pub said: Said,
    /// Make it what the node boots next
    #[arg(short, long)]
    pub activate: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Make an environment from another, named one
///
/// To another node, which has to exist, the identity becomes that node's.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe clone nog/first nog/second
  netbe clone nog ordo/from-nog -a")]
pub struct CloneEnv {
    /// What to make it from
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub source: Operand,
    /// The environment to make
    #[arg(value_name = "NODE/ENV", value_parser = whole_operand, add = ArgValueCompleter::new(candidates::nodes))]
    pub target: Operand,
    /// What to say of it.
    #[command(flatten)]
    pub said: Said,
    /// Make it what the node boots next
    #[arg(short, long)]
    pub activate: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

fn whole_operand(text: &str) -> Result<Operand, String> {
    let operand: Operand = text
        .parse()
        .map_err(|e: crate::pool::name::NotAName| e.to_string())?;
    match operand.env {
        Some(_) => Ok(operand),
        None => Err(format!("{text:?} names a node; NODE/ENV is wanted")),
    }
}

/// List environments
///
/// FLAGS: N booted now, ? not known whether booted, R boots on the next reboot, T boots next time only, P
/// pinned, ! damaged.
///
/// With --space: REFERENCED is what an environment's files take on disk, whoever else has them, and UNIQUE what
/// comes back when it, and it alone, is destroyed. Both count root and boot, and snapshots and other subvolumes
/// in them; compressed files at their size on disk, and every extent whole while any part of it is in use. What is
/// shared with anything else on the filesystem is nobody's UNIQUE: another environment, a snapshot made by
/// hand, a file of the pool's. What netbe destroy -n says of several together can therefore be more than their
/// sum. Names, attributes and checksums are not counted, nor the copies that RAID keeps; and files so small that they
/// stand among those can be counted wrongly after a btrfs balance, until they are written again. It is read from the
/// filesystem itself, in all environments at once; quota groups are not needed. What waits in memory is written first
/// (syncfs), so a busy disk can keep it waiting. Needs CAP_SYS_ADMIN.
///
/// With -H: no header, tabs, - for nothing, and these fields: node, environment, flags, kernel, created
/// (seconds since the epoch), unique bytes, referenced bytes (both - without --space), origin, description.
/// Characters that a terminal would obey or hide are shown as ?; --json has all, escaped.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe list
  netbe list nog --tree
  netbe list -S unique
  netbe list -H nog | cut -f2
  netbe list --json | jq -r '.environments[] | select(.active) | .root'")]
pub struct List {
    /// Nodes or environments; all without one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub operands: Vec<Operand>,
    /// For scripts: no header, tabs between fields
    #[arg(short = 'H', conflicts_with_all = ["json", "tree"])]
    pub machine: bool,
    /// For scripts: one JSON document
    #[arg(long, conflicts_with = "tree")]
    pub json: bool,
    /// Show what each takes on disk, and what of it comes back when it is destroyed
    #[arg(long)]
    pub space: bool,
    /// Draw what was made from what, across nodes; of those named, with what they came from
    #[arg(long)]
    pub tree: bool,
    /// Sort by this, upwards
    #[arg(short = 's', value_name = "FIELD", conflicts_with = "descending")]
    pub ascending: Option<SortField>,
    /// Sort by this, downwards
    #[arg(short = 'S', value_name = "FIELD")]
    pub descending: Option<SortField>,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortField {
    /// Node, then environment
    Name,
    /// When it was made
    Created,
    /// What comes back when it is destroyed; with --space, asked for or not
    Unique,
}

/// Choose what a node boots next
///
/// NODE alone means its newest environment, where that is newer than the active one: what upgrade has just
/// made. Without an operand the same, where exactly one node has such a one.
///
/// The environment is checked first: kernel, initramfs and modules belong together, and the boot files
/// name its own root. One that would not boot is refused with the reasons.
///
/// With --once and --try the names a machine asks by lead to the environment until it has been fetched,
/// and then back to what is active, before it is known whether it came up: power-cycling a machine that
/// hangs boots what is active. This goes by what netbe serve has handed out (see netbe-init, --services); without that,
/// by the report and by the NFS server's tables. A tried environment starts again 10 s after a kernel
/// panic (panic= on its command line), and is flagged ! when it did not report in its time.
///
/// It is taken for fetched five seconds after its kernel and initramfs were fetched for the first time, and two minutes
/// after a kernel alone; what is fetched later moves nothing. Anybody on the network can fetch. Where the node's address
/// is known (see netbe-status) only its own transfers count; where it is not, a stranger can have the boot over before it
/// began, and nothing worse. power.cycle is called for a trial that did not report, but never where the NFS server has had
/// another environment of the node in use since the trial was fetched; where the address is not known, only eight minutes
/// or more after that, while an NFS server was there to see it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe activate ordo
  netbe activate nog/before-the-party
  netbe activate --try ordo
  netbe activate --try=30m ordo/next
  netbe activate --once nog/rescue
  netbe activate --cancel nog
  netbe activate -n ordo")]
pub struct Activate {
    /// The environment, or a node
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub operand: Option<Operand>,
    /// For the next boot only; then what is active boots again
    #[arg(long, group = "how")]
    pub once: bool,
    /// For the next boot, and for good when the node reports within DURATION (10m) that it came up
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = super::duration, group = "how")]
    pub trial: Option<SignedDuration>,
    /// Take back a boot for once or on trial
    #[arg(long, group = "how", conflicts_with = "force")]
    pub cancel: bool,
    /// Activate it although it may not boot
    #[arg(long)]
    pub force: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Activate what was active before
///
/// Twice is back again. It is checked as activate does.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe rollback ordo")]
pub struct Rollback {
    /// The node
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub node: NodeName,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Make what a node boots once or on trial the active one
///
/// By hand, where nothing in it reports that it came up, or nobody wants to wait for that.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe confirm ordo")]
pub struct Confirm {
    /// The node
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub node: NodeName,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Destroy environments, or a node with all of them
///
/// Refuses an environment that is active, booted or may be, pending, pinned, mounted or in use, and names
/// the reason; then none of those named is destroyed. -r takes whole nodes, under the same rules, save that
/// active and pinned are no reason when the node is not booted. It returns when the deletion is durable;
/// space comes back in the background.
///
/// May be booted is what machines were led to, or of which something was fetched, by whomever, until the node is known to
/// have left it: see netbe-status. What the NFS server has in use is refused whatever else is known; what the node left
/// has an entry for up to half an hour, so where it is known to have left, the NFS server is made to forget, and what
/// does not come back within five seconds is not in use. It is looked at again just before anything is destroyed.
///
/// With -n, and before it asks, it says how much that is: what nothing but the environments named
/// refers to, counted as netbe list --space counts UNIQUE.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe destroy nog/old nog/older
  netbe destroy -n nog/old nog/older
  netbe destroy -r werda")]
pub struct Destroy {
    /// The environments; with -r the nodes
    #[arg(required = true, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub operands: Vec<Operand>,
    /// Destroy whole nodes
    #[arg(short, long)]
    pub recursive: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Give an environment or a node another name
///
/// Boot files, fstab, exports and pointers follow. Refused while booted or possibly booted.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe rename nog/20261120T101500Z first
  netbe rename nog ordo")]
pub struct Rename {
    /// What is renamed
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub old: Operand,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub new: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Say something of an environment
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe describe nog/first 'as delivered'
  netbe describe nog/first ''")]
pub struct Describe {
    /// The environment
    #[arg(value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operand: Operand,
    /// What to say; nothing takes it away
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Keep environments from being destroyed
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe pin nog/first")]
pub struct Pin {
    /// The environments
    #[arg(required = true, value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operands: Vec<Operand>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Let environments be destroyed again
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe unpin nog/first")]
pub struct Unpin {
    /// The environments
    #[arg(required = true, value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operands: Vec<Operand>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}
