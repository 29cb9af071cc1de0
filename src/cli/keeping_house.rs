//! Looking after a pool, and after the command line itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::Changing;
use super::candidates;
use crate::pool::NodeName;
use crate::pool::properties::Keep;

/// Destroy the oldest environments of nodes
///
/// Of each node the oldest environments go until as many are left as --keep says, or its property keep (5
/// where nobody set it; all leaves a node alone). Without NODE that is every node but templates, which only go by name.
///
/// Never what destroy would refuse: what is active, booted or may be, pending, pinned, mounted or in use. Nor
/// what netbe rollback NODE or netbe activate NODE would take next. These stay whatever their age, and count
/// among those kept: keep is how many are left. -v and -n name them with the reason.
///
/// With --older-than only those go that are both: beyond keep, and older. One that cannot go, or whose age is not
/// known because its record is lost, is reported, the others go all the same, and the exit status is that of the worst.
///
/// netbe init --services installs netbe-prune.timer, which runs it once a day, and leaves it off:
/// systemctl enable --now netbe-prune.timer
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe prune -n
  netbe prune nog --keep 3
  netbe prune --older-than 30d
  netbe set keep=10; netbe set keep=all nog")]
pub struct Prune {
    /// Nodes; all but templates without one
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub nodes: Vec<NodeName>,
    /// In every pool of this server, not in one
    #[arg(long, conflicts_with = "nodes")]
    pub all_pools: bool,
    /// How many environments to leave of each node: a number, or all
    #[arg(long, value_name = "N", value_parser = str::parse::<Keep>)]
    pub keep: Option<Keep>,
    /// Only those older than this: 30d, 2w, 36h
    #[arg(long, value_name = "DURATION", value_parser = super::age)]
    pub older_than: Option<SignedDuration>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Show what nodes boot, and what is wrong
///
/// That a node runs an environment is known by its own report, written in that environment's root over NFS, or by the
/// NFS server's table. A transfer proves nothing: anybody on the network can ask for boot files. What was fetched, or
/// machines were led to, may be running from then on, until the node is known to have been in another environment after
/// that: by a report of a boot that had not been reported before, or, where one address alone may mount its environments,
/// by the NFS server having only that other one in use for more than an hour (netbe-reconcile looks).
///
/// Who fetches is the node where its address is known: ip=dhcp,ADDR, clients=ADDR, or, where this machine's dnsmasq hands
/// out the addresses, a static one. Others' transfers are noted and count for nothing.
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

/// Let identical files of different environments share their space again
///
/// Environments that were upgraded each by itself hold the same new files over and over. Files of the same
/// path and size, in the same half, are compared; what is the same shares its space from then on, and large
/// files that differ in a few blocks, such as apt's caches, share the rest. The content and times of no file
/// change, so environments that are active or running take part, too. What shares its space already is not
/// read, and so a second run has little to do.
///
/// All nodes and templates without one; with nodes, their environments and those they were made from, among
/// each other. What came back is told: what a snapshot of somebody else's still holds does not. Files below
/// 2 KiB stand in the filesystem's own trees, and are shared with nothing.
///
/// Stopped, what was done stays done. A node that another netbe is changing is waited for (--wait), then left
/// out; the exit status is 5 then.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe dedupe -n
  netbe dedupe
  netbe dedupe nog ordo")]
pub struct Dedupe {
    /// Nodes; all without one
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(candidates::nodes))]
    pub nodes: Vec<NodeName>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Write again what the network is offered
///
/// From what the pool holds: the names machines ask for, the exports, and dnsmasq's configuration
/// (publish/dnsmasq.conf) with a file a machine (publish/dnsmasq-hosts). Every command that needs it does
/// it by itself.
///
/// Where dnsmasq reads the pool's files (netbe init --services) it is restarted when they changed: when a
/// machine comes or goes, not when an environment is activated.
/// Where systemd does not run, a warning says what is left to do.
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
  netbe completions zsh > /usr/local/share/zsh/site-functions/_netbe
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

/// End trials whose time has come
///
/// Leads nodes back that have fetched what they were to boot once or on trial, makes permanent what
/// reported that it came up, and flags what did not in its time. Run by netbe-reconcile.timer; harmless at
/// any time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe reconcile -n")]
pub struct Reconcile {
    /// One node only
    #[arg(hide = true)]
    pub node: Option<NodeName>,
    /// Of every pool of this server, not of one
    #[arg(long, conflicts_with = "node")]
    pub all_pools: bool,
    /// Wait this long first
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub after: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Take note of a file that a machine fetched: for the script of another TFTP server than netbe serve
#[derive(Debug, Args)]
pub struct Transfer {
    /// Its size in bytes
    pub size: u64,
    /// Who fetched it
    pub client: String,
    /// The file, as the TFTP server names it
    pub path: PathBuf,
}
