//! `netbe rename`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::lifecycle::rename;
use crate::pool::{EnvName, NodeName, Operand};

/// Rename an environment or a node
///
/// Boot files, fstab, exports and the links to it are updated. Refused for what is booted or may be booted.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe rename nog/20261120T101500Z first
  netbe rename nog ordo")]
pub struct Rename {
    /// The environment or node
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub old: Operand,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub new: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Renames an environment or a node.
pub fn run(session: &Session, args: &Rename) -> Result<u8> {
    let pool = session.pool()?;
    let outcome = match &args.old.env {
        Some(old) => {
            // NODE/NEW is accepted too, if NODE is the same node.
            let node_prefix = format!("{}/", args.old.node);
            let new = args.new.strip_prefix(&node_prefix).unwrap_or(&args.new);
            let new: EnvName = new.parse().map_err(usage)?;
            let mode = args.changing.into();
            session.busy("Renaming", || {
                rename::environment(&pool, &args.old.node, old, &new, mode)
            })?
        }
        None => {
            let new: NodeName = args.new.parse().map_err(usage)?;
            let mode = args.changing.into();
            session.busy("Renaming", || {
                rename::node(&pool, &args.old.node, &new, mode)
            })?
        }
    };
    if let Some(done) = session.done(outcome)? {
        session.sentence(&format!("Renamed {} to {}.", args.old, done.new))?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}

#[allow(clippy::needless_pass_by_value)]
fn usage(e: crate::pool::name::NotAName) -> Failure {
    Failure::usage(e.to_string())
}
