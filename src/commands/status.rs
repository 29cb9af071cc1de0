//! `netbe status`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::{check, status};
use crate::output::{self, json};
use crate::pool::NodeName;

/// Show what nodes boot and run, and problems
///
/// A node is known to run an environment by its own report, written to that environment's root over NFS, or by the NFS
/// server's tables. A transfer proves nothing: any host on the network can fetch boot files. An environment that was
/// fetched, or that a TFTP name led to, may be running until the node is known to have run another one afterwards: by the
/// report of a new boot, or, if only one address may mount the node's environments, by the NFS server having had only that
/// other one in use for more than an hour (netbe-reconcile checks this).
///
/// A node's address is known with ip=dhcp,ADDR or clients=ADDR, or with a static ip if this machine's dnsmasq is the
/// DHCP server. Then transfers from other addresses are recorded, but count for nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe status
  netbe status nog --json")]
pub struct Status {
    /// Nodes [default: all]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Shows what nodes boot and run, and problems.
pub fn run(session: &Session, args: &Status) -> Result<u8> {
    let pool = session.pool()?;
    let states = status::status(&pool, &args.nodes)?;
    let text = if args.json {
        json::list("nodes", &states)?
    } else if args.nodes.is_empty() {
        output::status::draw(&states, session.screen.colour)
    } else {
        output::status::draw_each(&states)
    };
    session.screen.answer(&text)?;
    for finding in check::filesystem::of_filesystem(&pool)? {
        let warning = format!("{}: {}", finding.about, finding.problem);
        session.screen.warnings(&[warning]);
    }
    for state in &states {
        for problem in &state.problems {
            session
                .screen
                .warnings(&[format!("{}: {problem}", state.node)]);
        }
    }
    Ok(0)
}
