//! `netbe rename`

use anyhow::Result;

use super::Session;
use crate::cli::Rename;
use crate::failure::Failure;
use crate::lifecycle::rename;
use crate::pool::{EnvName, NodeName};

/// Gives an environment or a node another name.
pub fn run(session: &Session, args: &Rename) -> Result<u8> {
    let pool = session.pool()?;
    let outcome = match &args.old.env {
        Some(old) => {
            // NODE/NEW says the same, as long as it is the same node.
            let own = format!("{}/", args.old.node);
            let new = args.new.strip_prefix(&own).unwrap_or(&args.new);
            let new: EnvName = new.parse().map_err(usage)?;
            rename::environment(&pool, &args.old.node, old, &new, args.changing.into())?
        }
        None => {
            let new: NodeName = args.new.parse().map_err(usage)?;
            rename::node(&pool, &args.old.node, &new, args.changing.into())?
        }
    };
    if let Some(new) = session.done(outcome)? {
        session
            .screen
            .sentence(&format!("Renamed {} to {new}.", args.old))?;
    }
    Ok(0)
}

#[allow(clippy::needless_pass_by_value)]
fn usage(e: crate::pool::name::NotAName) -> Failure {
    Failure::usage(e.to_string())
}
