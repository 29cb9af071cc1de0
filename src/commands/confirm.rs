//! `netbe confirm`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::activate::{each, nodes};
use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::trial;
use crate::pool::NodeName;
use crate::pool::pattern::Named;

/// Make the environment of a pending boot or trial the active one
///
/// For an environment without the unit that reports a completed boot, or to end a trial before its time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe confirm ordo
  netbe confirm --all")]
pub struct Confirm {
    /// Nodes [default: this machine, where it is one]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node that has a pending boot
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Makes the environment of a pending boot or trial the active one.
pub fn run(session: &Session, args: &Confirm) -> Result<u8> {
    let pool = session.pool()?;
    let all = args.all.then(|| trial::pending(&pool)).transpose()?;
    let all = all
        .map(|all| nodes(all, "has a pending boot"))
        .transpose()?;
    each(session, &pool, &args.nodes, all, |node| {
        trial::confirm(&pool, node, args.changing.into())
    })
}
