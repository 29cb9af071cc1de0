//! `netbe prune`

use anyhow::Result;

use super::{Session, destroy};
use crate::cli::Prune;
use crate::lifecycle::Mode;
use crate::lifecycle::prune::{self, Request};
use crate::lifecycle::space::Space;
use crate::pool::{NodeName, Operand, Pool};

/// Destroys the oldest environments of nodes.
pub fn run(session: &Session, args: &Prune) -> Result<u8> {
    let mode: Mode = args.changing.into();
    let request = Request {
        keep: args.keep,
        older_than: args.older_than,
    };
    session.each_pool(args.all_pools, |pool| {
        prune(session, pool, &args.nodes, request, mode)
    })
}

fn prune(
    session: &Session,
    pool: &Pool,
    nodes: &[NodeName],
    request: Request,
    mode: Mode,
) -> Result<u8> {
    let pruned = prune::prune(pool, nodes, request, mode)?;
    // Before what was done, which may be hard to see among many: the last line is the answer.
    let worst = session.failed(&pruned.failures);
    if mode.dry_run {
        session.screen.notes(&pruned.stays);
        session.screen.plan(&steps(session, pool, &pruned.gone)?)?;
        return Ok(worst);
    }
    for why in &pruned.stays {
        session.screen.detail(why);
    }
    if !pruned.gone.is_empty() || pruned.failures.is_empty() {
        session
            .screen
            .sentence(&match (pruned.gone.len(), pruned.stays.len()) {
                (0, 0) => "Nothing to prune.".to_string(),
                (0, stay) => {
                    format!("Nothing to prune: {stay} beyond those to keep stay; -v says why.")
                }
                _ => format!("Destroyed {}.", pruned.gone.join(", ")),
            })?;
    }
    Ok(worst)
}

/// Returns the steps of a dry run, and what comes back.
fn steps(session: &Session, pool: &Pool, gone: &[String]) -> Result<Vec<String>> {
    let mut steps: Vec<String> = gone.iter().map(|env| format!("destroy {env}")).collect();
    let operands: Vec<Operand> = gone
        .iter()
        .map(|env| Ok(env.parse()?))
        .collect::<Result<_>>()?;
    if !operands.is_empty() {
        let of = |space: &Space| space.of_environments(&operands);
        steps.extend(destroy::freed(session, pool, of));
    }
    Ok(steps)
}
