//! `netbe upgrade` of several nodes

use anyhow::Result;

use super::session::Session;
use super::side_by_side;
use super::upgrade::{self, Upgrade};
use crate::lifecycle::fleet::Report;
use crate::output;
use crate::pool::pattern::Named;
use crate::pool::{NodeName, Operand};

/// Upgrades several nodes in parallel.
pub(super) fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    let pool = session.pool()?;
    let (sources, unmatched) = session.chosen_or_all(&pool, &args.sources()?, args.all)?;
    let nodes = named(sources);
    let done = side_by_side::run(
        session,
        &nodes,
        (args.changing, args.jobs, args.next),
        |node| upgrade::perform(&pool, args, node.clone().into(), false),
        &|node| args.worker_arguments(session, node),
        output::upgrade::draw,
    );
    session.beside(unmatched, done)
}

/// Upgrades one node as the worker of a netbe that upgrades several.
pub(super) fn worker(session: &Session, args: &Upgrade) -> Result<u8> {
    let Some(Named::One(source)) = args.sources()?.pop() else {
        return Ok(2);
    };
    let work = || upgrade::perform(&session.pool()?, args, source, true);
    side_by_side::work(session, work, |done| Report::from_result(&done))
}

/// Returns the nodes named, each once.
fn named(sources: Vec<Operand>) -> Vec<NodeName> {
    let mut names: Vec<NodeName> = Vec::new();
    for source in sources {
        if !names.contains(&source.node) {
            names.push(source.node);
        }
    }
    names
}
