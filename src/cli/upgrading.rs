//! Changing what is in an environment.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::{Changing, Said};
use crate::commands::candidates;
use crate::pool::{EnvName, NodeName, Operand};

/// Upgrade a copy of what a node runs
///
/// Snapshots the node's active environment (or the one named), runs the distribution's full upgrade inside
/// the copy, or COMMAND, and keeps it as a new environment. What runs is never touched. A failing command
/// leaves nothing behind, and neither does one that is stopped. Nothing to upgrade: no new environment.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe upgrade --node ordo
  netbe upgrade --node ordo -a
  netbe upgrade --node ordo --try
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
    #[arg(short, long, group = "how")]
    pub activate: bool,
    /// Let the node boot it once
    #[arg(long, group = "how")]
    pub once: bool,
    /// Let the node boot it, for good when it reports within DURATION (10m) that it came up
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = super::duration, group = "how")]
    pub trial: Option<SignedDuration>,
    /// Keep the copy when the command fails, flagged !
    #[arg(long)]
    pub keep: bool,
    /// What to say of it.
    #[command(flatten)]
    pub said: Said,
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
