//! `netbe upgrade` of several nodes

use anyhow::Result;

use super::session::Session;
use super::upgrade::{self, Upgrade};
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::trial::How;
use crate::lifecycle::upgrade::Upgraded;
use crate::lifecycle::upgrade::fleet::{self, News, Report};
use crate::output;
use crate::output::lines::Lines;
use crate::pool::{NodeName, Operand, Pool};

/// Upgrades several nodes in parallel.
pub(super) fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    let pool = session.pool()?;
    let nodes = match args.all {
        true => all_nodes(&pool)?,
        false => named(args.sources()?),
    };
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
    let mut worst = 0;
    for (node, report) in nodes.iter().zip(&reports) {
        worst = worst.max(tell(session, node, report));
    }
    let how = How::asked(args.once, args.trial);
    let waiting: Vec<String> = reports.iter().filter_map(Report::to_activate).collect();
    if how.is_none() && !waiting.is_empty() {
        let all = waiting.join(" ");
        session.sentence(&format!("To boot next: netbe activate {all}"))?;
    }
    Ok(worst)
}

/// Prints notes, warnings and failures, which are not in the table; returns the exit status.
fn tell(session: &Session, node: &NodeName, report: &Report) -> u8 {
    let named = |all: &[String]| -> Vec<String> {
        all.iter().map(|one| format!("{node}: {one}")).collect()
    };
    match report {
        Report::Created { told, warnings, .. } => {
            session.notes(&named(told));
            session.warnings(&named(warnings));
        }
        Report::Failed { why, hint, status } => {
            let mut failure = Failure::with_status(*status, format!("{node}: {why}"));
            failure.hint.clone_from(hint);
            return session.failed(&[failure.into()]);
        }
        Report::Nothing { told } => session.notes(&named(told)),
    }
    0
}

/// Upgrades one node as the worker of a netbe that upgrades several; prints the report as one line of JSON.
pub(super) fn worker(session: &Session, args: &Upgrade) -> Result<u8> {
    let Some(source) = args.sources()?.pop() else {
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

fn all_nodes(pool: &Pool) -> Result<Vec<NodeName>> {
    let mut nodes = pool.nodes()?;
    nodes.retain(|node| !node.is_template());
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
            Err(e) => worst = worst.max(tell(session, node, &Report::failed(&e))),
        }
    }
    Ok(worst)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
