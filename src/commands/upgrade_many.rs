//! `netbe upgrade` of several nodes

use anyhow::Result;

use super::session::Session;
use super::side_by_side::{self, tell};
use super::upgrade::{self, Upgrade};
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::fleet::Report;
use crate::lifecycle::trial::How;
use crate::lifecycle::upgrade::Upgraded;
use crate::output;
use crate::pool::pattern::Named;
use crate::pool::{NodeName, Operand, Pool};

/// Upgrades several nodes in parallel.
pub(super) fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    let pool = session.pool()?;
    let (sources, unmatched) = session.chosen_or_all(&pool, &args.sources()?, args.all)?;
    let nodes = named(sources);
    if args.changing.dry_run {
        return session.beside(unmatched, dry_run(session, &pool, args, &nodes));
    }
    let reports = side_by_side::run(session, &nodes, args.jobs, &|node| {
        args.worker_arguments(&session.pool_dir, &session.states, node)
    })?;
    session.report(&output::upgrade::draw(
        nodes.iter().zip(&reports),
        session.look,
    ))?;
    let how = How::asked(args.once, args.trial);
    session.beside(
        unmatched,
        side_by_side::tell_all(session, &nodes, &reports, how),
    )
}

/// Upgrades one node as the worker of a netbe that upgrades several.
pub(super) fn worker(session: &Session, args: &Upgrade) -> Result<u8> {
    let Some(Named::One(source)) = args.sources()?.pop() else {
        return Ok(2);
    };
    side_by_side::work(session, || {
        Report::from_result(&work(session, args, source))
    })
}

fn work(session: &Session, args: &Upgrade, source: Operand) -> Result<Upgraded> {
    match upgrade::perform(&session.pool()?, args, source, true)? {
        Outcome::Done(done) => Ok(done),
        Outcome::Planned(_) => Err(Failure::usage("a worker cannot do a dry run").into()),
    }
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

fn dry_run(session: &Session, pool: &Pool, args: &Upgrade, nodes: &[NodeName]) -> Result<u8> {
    let mut worst = 0;
    for node in nodes {
        let source = Operand {
            node: node.clone(),
            env: None,
        };
        match upgrade::perform(pool, args, source, false) {
            Ok(outcome) => drop(session.done(outcome)?),
            Err(e) => worst = worst.max(tell(session, node, &Report::failed(&e))),
        }
    }
    Ok(worst)
}
