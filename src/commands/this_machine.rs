//! Commands without a node, which mean this machine if the pool is its own.

use anyhow::Result;

use super::{Command, Session};
use crate::failure::Failure;
use crate::lifecycle::local;
use crate::pool::NodeName;
use crate::pool::pattern::Named;

/// Adds this machine as the node to a command that needs a node and names none.
///
/// # Errors
/// `Usage` if the pool is not this machine's own.
pub(super) fn with_this_machine(session: &Session, mut command: Command) -> Result<Command> {
    match &mut command {
        Command::Upgrade(a) if a.sources.is_empty() && a.node.is_empty() && !a.all => {
            a.node.push(Named::One(node(session, "upgrade")?));
        }
        Command::Create(a) if a.targets.is_empty() && !a.all && !a.before_packages => {
            a.targets.push(Named::One(node(session, "create")?.into()));
        }
        Command::Rollback(a) if a.nodes.is_empty() && !a.all => {
            a.nodes.push(Named::One(node(session, "rollback")?));
        }
        Command::Confirm(a) if a.nodes.is_empty() && !a.all => {
            a.nodes.push(Named::One(node(session, "confirm")?));
        }
        _ => {}
    }
    Ok(command)
}

fn node(session: &Session, verb: &str) -> Result<NodeName> {
    let this_machine = session.pool().ok().and_then(|pool| local::node_of(&pool));
    this_machine.ok_or_else(|| {
        Failure::usage(format!("{verb} needs the name of a node"))
            .hint(format!("netbe {verb} --help"))
            .into()
    })
}
