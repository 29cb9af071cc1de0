//! The command line as types; every sentence of help lives here.
//!
//! Man pages and completions are made from it. Parsing only: names are checked here, by their types, and
//! nothing is looked up.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use crate::commands::candidates;
use crate::pool::{EnvName, NodeName, Operand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const FIRST_STEPS: &str = "\
First steps:
  netbe init --file 64G                    a pool in a file, at /srv/netbe
  netbe import debian debian.tar.zst       a template: a system to make nodes from
  netbe create nog --mac dc:a6:32:01:02:03
  netbe upgrade --node nog                 in a copy; nog goes on working
  netbe activate nog                       its next reboot is the new system
  netbe rollback nog                       or the old one again

NODE/ENV is one environment of a node; NODE alone is its active one. Every command that changes something takes -n, to say what it would do.
Exit status: 0 done, 1 failed, 2 usage, 3 refused by a safety rule, 4 no such pool, node or environment, 5 locked.";

/// Boot environments for machines that boot over the network
///
/// One server holds, on one btrfs filesystem, every system its nodes can boot: kernel and root together,
/// as one named environment that is made in milliseconds, upgraded without touching what runs, switched in
/// one step, and gone back to.
#[derive(Debug, Parser)]
#[command(name = "netbe", version, styles = STYLES, help_expected = true, arg_required_else_help = true)]
#[command(after_help = FIRST_STEPS, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The pool
    #[arg(long, global = true, help_heading = "Options of every command", display_order = 100, value_name = "DIR", env = "NETBE_POOL", default_value = "/srv/netbe", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub pool: PathBuf,
    /// Say only what is wrong
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100,
        conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// Say more
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100
    )]
    pub verbose: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Init(Init),
    Import(Import),
    Create(Create),
    Clone(CloneEnv),
    #[command(visible_alias = "ls")]
    List(List),
    Activate(Activate),
    Rollback(Rollback),
    Upgrade(Upgrade),
    Run(Run),
    Shell(Shell),
    #[command(visible_alias = "rm")]
    Destroy(Destroy),
    Rename(Rename),
    Describe(Describe),
    Pin(Pin),
    Unpin(Unpin),
    Mount(Mount),
    #[command(visible_alias = "unmount")]
    Umount(Umount),
    Set(Set),
    Get(Get),
    Status(Status),
    Check(Check),
    Publish(Publish),
    Completions(Completions),
}

/// What every command that changes something takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Changing {
    /// Say what would be done, and refuse what would be refused; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How long to wait for another netbe to end
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| "a number of seconds".to_string())
}

/// Make a pool
///
/// Makes DIR (default: the pool) a pool. A directory on btrfs is used as it is. With --file, a sparse
/// image beside it (DIR.btrfs) is formatted and mounted there: for a machine without a spare disk. With
/// --device, a block device is. The mount is made permanent by a systemd mount unit; without systemd the
/// line for fstab is printed. Again on a pool changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe init --file 64G
  netbe init /srv/netbe --device /dev/sda1 --server 10.0.0.1
  netbe init /mnt/usb/netbe")]
pub struct Init {
    /// The directory; the pool without it
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Make an image of this size beside it: 64G, 500M
    #[arg(long, value_name = "SIZE", conflicts_with = "device", value_parser = crate::lifecycle::initialisation::size)]
    pub file: Option<u64>,
    /// Format this block device
    #[arg(long, value_name = "DEV", value_hint = ValueHint::FilePath)]
    pub device: Option<PathBuf>,
    /// Address nodes reach this machine by; that on the default route without it
    #[arg(long, value_name = "IP")]
    pub server: Option<String>,
    /// Format a device that holds something
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Bring an operating system in as an environment
///
/// SOURCE is a directory, a tar archive (plain, gzip, xz, zstd), a disk image (raw or compressed so, such
/// as Raspberry Pi OS), or - for one of these on standard input; which it is is told by its content. A NODE
/// that does not exist becomes a template: a node no machine boots, to make others from. Owners, modes,
/// hard links, devices, sparse files, extended attributes and ACLs arrive as they were.
///
/// The boot half is what the system's own fstab mounts at /boot/firmware or /boot, else the content of
/// /boot.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe import raspios 2026-10-01-raspios-lite-arm64.img.xz
  mmdebstrap --include=linux-image-amd64,systemd-sysv trixie - | netbe import debian -
  netbe import nog/old /mnt/sdcard --boot /mnt/sdcard-boot -d 'nog, from its SD card'")]
pub struct Import {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::nodes))]
    pub target: Operand,
    /// What to bring in
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: std::ffi::OsString,
    /// Where the boot half is, if not in SOURCE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub boot: Option<PathBuf>,
    /// What to say of it
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

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
        help = "Address of a new node: dhcp, or ADDR/LEN[,GATEWAY]"
    )]
    pub ip: Option<String>,
    /// What to say of it
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
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
    /// What to say of it
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
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
/// With -H: no header, tabs, - for nothing, and these fields: node, environment, flags, kernel, created
/// (seconds since the epoch), unique bytes, referenced bytes, origin, description.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe list
  netbe list nog --tree
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
    /// Draw what was made from what
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
}

/// Choose what a node boots next
///
/// NODE alone means its newest environment, where that is newer than the active one: what upgrade has just
/// made. Without an operand the same, where exactly one node has such a one.
///
/// The environment is checked first: kernel, initramfs and modules belong together, and the boot files
/// name its own root. One that would not boot is refused with the reasons.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe activate ordo
  netbe activate nog/before-the-party
  netbe activate -n ordo")]
pub struct Activate {
    /// The environment, or a node
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(candidates::sources))]
    pub operand: Option<Operand>,
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

/// Upgrade a copy of what a node runs
///
/// Snapshots the node's active environment (or the one named), runs the distribution's full upgrade inside
/// the copy, or COMMAND, and keeps it as a new environment. What runs is never touched. A failing command
/// leaves nothing behind, and neither does one that is stopped. Nothing to upgrade: no new environment.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe upgrade --node ordo
  netbe upgrade --node ordo -a
  netbe upgrade nog/first --name with-vim -- apt-get install -y vim")]
pub struct Upgrade {
    /// The node whose active environment is upgraded
    #[arg(long, value_name = "NODE", conflicts_with = "source", add = ArgValueCompleter::new(candidates::nodes))]
    pub node: Option<NodeName>,
    /// The environment to upgrade from
    #[arg(value_name = "NODE/ENV", required_unless_present = "node", add = ArgValueCompleter::new(candidates::environments))]
    pub source: Option<Operand>,
    /// What to call the new one; made of the time without it
    #[arg(long, value_name = "ENV")]
    pub name: Option<EnvName>,
    /// Make it what the node boots next
    #[arg(short, long)]
    pub activate: bool,
    /// Keep the copy when the command fails, flagged !
    #[arg(long)]
    pub keep: bool,
    /// What to say of it
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
    /// Run this instead of the distribution's full upgrade
    #[arg(last = true, value_name = "COMMAND")]
    pub program: Vec<String>,
}

/// Run a command inside an environment
///
/// In an environment that is neither active nor booted; a template's may be active. It ends with the
/// command's status; 125: netbe itself failed, 126: the command cannot be run, 127: there is none.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe run nog/next -- apt-get install -y vim
  netbe run debian -- passwd -d root")]
pub struct Run {
    /// The environment
    #[arg(value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operand: Operand,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub program: Vec<String>,
}

/// Open a shell inside an environment
///
/// In an environment that is neither active nor booted; a template's may be active. It ends with the
/// shell's status.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe shell nog/next")]
pub struct Shell {
    /// The environment
    #[arg(value_name = "NODE/ENV", add = ArgValueCompleter::new(candidates::environments))]
    pub operand: Operand,
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
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe destroy nog/old nog/older
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

/// Set properties of a node, or of the pool
///
/// Without NODE the value holds for every node that has none of its own. An empty value takes a setting
/// away. What the network is offered follows at once; environments keep the command line they were made
/// with, and new ones get the new.
#[derive(Debug, Args)]
#[command(after_long_help = crate::commands::properties_help())]
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

/// Show what nodes boot, and what is wrong
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe status
  netbe status nog --json")]
pub struct Status {
    /// Nodes; all without one
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub nodes: Vec<NodeName>,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Look for what is wrong, and mend it
///
/// Names each finding and its remedy; ends with 1 when there is one. --repair mends what has one safe
/// answer: leftovers of an interrupted command, missing pointers, stale exports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe check
  netbe check nog --json
  netbe check --repair")]
pub struct Check {
    /// The node; all and the pool without it
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub node: Option<NodeName>,
    /// Mend what has one safe answer
    #[arg(long)]
    pub repair: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Write again what the network is offered
///
/// From what the pool holds: the names machines ask for, and the exports. Every command that needs it does
/// it by itself.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe publish
  netbe publish -n")]
pub struct Publish {
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Print the completion script of a shell
///
/// Nodes, environments and properties complete from the pool.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe completions bash > /etc/bash_completion.d/netbe
  netbe completions fish > ~/.config/fish/completions/netbe.fish")]
pub struct Completions {
    /// The shell
    pub shell: ShellName,
}

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ShellName {
    Bash,
    Zsh,
    Fish,
    Elvish,
    #[value(name = "powershell")]
    PowerShell,
}
