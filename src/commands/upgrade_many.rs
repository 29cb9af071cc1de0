//! `netbe upgrade` of several nodes

use anyhow::Result;

use super::session::Session;
use super::upgrade::{self, Upgrade};
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::upgrade::Upgraded;
use crate::lifecycle::upgrade::fleet::{self, News, Report};
use crate::output;
use crate::output::lines::Lines;
use crate::pool::{Node, NodeName, Operand, Pool};

/// Upgrades several nodes in parallel.
pub(super) fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    let pool = session.pool()?;
    let nodes = nodes(&pool, args)?;
    if args.changing.dry_run {
        return dry_run(session, &pool, args, &nodes);
    }
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    let mut lines = Lines::new(&names, session.draws_progress());
    let jobs = args.jobs.map_or_else(processors, usize::from);
    let reports = fleet::upgrade(
        &nodes,
        jobs,
        &|node| args.worker_arguments(&session.pool_dir, &session.states, node),
        |node, news| {
            lines.say(
                node.as_str(),
                &output::upgrade::in_words(news),
                matches!(news, News::Says(_)),
            );
        },
    )?;
    drop(lines);
    session.answer(&output::upgrade::draw(
        nodes.iter().zip(&reports),
        session.colour,
    ))?;
    for (node, report) in nodes.iter().zip(&reports) {
        warn(session, node, report);
    }
    Ok(reports.iter().map(Report::status).max().unwrap_or(0))
}

/// Prints the notes, warnings and hints, which are not in the table.
fn warn(session: &Session, node: &NodeName, report: &Report) {
    let named = |all: &[String]| -> Vec<String> {
        all.iter().map(|one| format!("{node}: {one}")).collect()
    };
    match report {
        Report::Created { told, warnings, .. } => {
            session.notes(&named(told));
            session.warnings(&named(warnings));
        }
        Report::Failed { why, hint, .. } => {
            session.warnings(&[format!("{node}: {why}")]);
            if let Some(hint) = hint {
                session.notes(&[format!("{node}: {hint}")]);
            }
        }
        Report::Nothing { told } => session.notes(&named(told)),
    }
}

/// Upgrades one node as the worker of a netbe that upgrades several; prints the report as one line of JSON.
pub(super) fn worker(session: &Session, args: &Upgrade) -> Result<u8> {
    let Some(source) = args.source() else {
        return Ok(2);
    };
    let done = fleet::stop_with_parent().and_then(|()| work(session, args, source));
    let report = Report::from_result(&done);
    session.answer(&format!("{}\n", serde_json::to_string(&report)?))?;
    Ok(report.status())
}

fn work(session: &Session, args: &Upgrade, source: Operand) -> Result<Upgraded> {
    match upgrade::perform(&session.pool()?, args, source, true)? {
        Outcome::Done(done) => Ok(done),
        Outcome::Planned(_) => Err(Failure::usage("a worker cannot do a dry run").into()),
    }
}

fn nodes(pool: &Pool, args: &Upgrade) -> Result<Vec<NodeName>> {
    if !args.all {
        let mut names: Vec<NodeName> = Vec::new();
        for name in &args.node {
            // A node that does not exist is an error before any upgrade begins.
            pool.node(name)?;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        return Ok(names);
    }
    let nodes: Vec<Node> = pool
        .nodes()?
        .into_iter()
        .filter(|n| !n.is_template())
        .collect();
    if nodes.is_empty() {
        return Err(Failure::refused("the pool has no node except templates")
            .hint("netbe create NODE")
            .into());
    }
    Ok(nodes.into_iter().map(|n| n.name).collect())
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
            Err(e) => {
                let report = Report::failed(&e);
                warn(session, node, &report);
                worst = worst.max(report.status());
            }
        }
    }
    Ok(worst)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
