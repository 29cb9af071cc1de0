//! `netbe clone`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making};
use super::complete;
use super::create::print_result;
use super::session::Session;
use crate::failure::{self, Failure, Kind};
use crate::lifecycle::create::{self, Request};
use crate::lifecycle::data::copied;
use crate::lifecycle::{Mode, local};
use crate::pool::{EnvId, Operand};

/// Make an environment from a named source
///
/// The node has to exist, and keeps its identity: if it is not the source's node, the identity is taken from its active
/// environment, as by create. With --data a node without data of its own (netbe-set) also gets a copy of the data of
/// the source's node, which all of its environments mount.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe clone nog/first nog/second
  netbe clone nog ordo/from-nog -a
  netbe clone nog ordo/from-nog --data")]
pub struct CloneEnv {
    /// The source
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub source: Operand,
    /// The environment to make
    #[arg(value_name = "NODE/ENV", add = ArgValueCompleter::new(complete::nodes))]
    pub target: EnvId,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// Activate the new environment
    #[arg(short, long)]
    pub activate: bool,
    /// Copy the data of the source's node, too
    #[arg(long)]
    pub data: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Makes an environment from another.
pub fn run(session: &Session, args: CloneEnv) -> Result<u8> {
    let pool = session.pool()?;
    if let Err(e) = pool.node(&args.target.node) {
        local::refuse(&pool, format_args!("{} cannot be made", args.target.node))?;
        return Err(match failure::is(&e, Kind::NotFound) {
            true => Failure::not_found(e.to_string())
                .hint(format!(
                    "netbe create {} --from {}",
                    args.target, args.source
                ))
                .into(),
            false => e,
        });
    }
    let (from, to) = (args.source.node.clone(), args.target.node.clone());
    let mode: Mode = args.changing.into();
    if args.data {
        copied::refuse(&pool, &from, &to)?;
    }
    let request = Request {
        target: args.target.into(),
        from: Some(args.source),
        properties: Vec::new(),
        description: args.making.description,
        activate: args.activate,
        how: None,
        merge: false,
        packages: false,
    };
    let making = format!("Making {}", request.target);
    let outcome = session.busy(making, || create::create(&pool, &request, mode))?;
    let status = print_result(session, outcome, None)?;
    if !args.data {
        return Ok(status);
    }
    let (copied, failures) = copied::copy(&pool, &from, &to, mode)?;
    if let Some(warnings) = session.done(copied)? {
        session.sentence(&format!("Copied the data of {from} to {to}."))?;
        session.warnings(&warnings);
    }
    Ok(status.max(session.failed(&failures)))
}
