//! `netbe rollback`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::activate::{each, nodes};
use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::activate;
use crate::pool::NodeName;
use crate::pool::pattern::Named;

/// Activate the previously active environment
///
/// A second rollback undoes the first. The environment is verified as by activate.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe rollback ordo
  netbe rollback nog ordo
  netbe rollback --all -n")]
pub struct Rollback {
    /// Nodes [default: this machine, where it is one]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node that has a previously active environment
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Activates the previously active environment.
pub fn run(session: &Session, args: &Rollback) -> Result<u8> {
    let pool = session.pool()?;
    let all = args
        .all
        .then(|| activate::can_roll_back(&pool))
        .transpose()?;
    let all = all.map(|all| nodes(all, "has a previously active environment"));
    each(session, &pool, &args.nodes, all.transpose()?, |node| {
        session.busy("Verifying", || {
            activate::rollback(&pool, node, args.changing.into())
        })
    })
}
