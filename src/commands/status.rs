//! `netbe status`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::{check, status};
use crate::output::{self, json};
use crate::pool::NodeName;

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
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Shows what nodes boot and run, and what is wrong.
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
    for ailment in check::filesystem::of_filesystem(&pool)? {
        let told = format!("{}: {}", ailment.about, ailment.problem);
        session.screen.warnings(&[told]);
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
