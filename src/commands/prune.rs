//! `netbe prune`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::args::{self, Changing};
use super::session::Session;
use super::{complete, destroy};
use crate::lifecycle::Mode;
use crate::lifecycle::prune::{self, Request};
use crate::lifecycle::space::Space;
use crate::pool::properties::Keep;
use crate::pool::{NodeName, Operand, Pool};

/// Destroy the oldest environments of nodes
///
/// Of each node the oldest environments go until as many are left as --keep says, or its property keep (5
/// where nobody set it; all leaves a node alone). Without NODE that is every node but templates, which only go by name.
///
/// Never what destroy would refuse: what is active, booted or may be, pending, pinned, mounted or in use. Nor
/// what netbe rollback NODE or netbe activate NODE would take next. These stay whatever their age, and count
/// among those kept: keep is how many are left. -v and -n name them with the reason.
///
/// With --older-than only those go that are both: beyond keep, and older. One that cannot go, or whose age is not
/// known because its record is lost, is reported, the others go all the same, and the exit status is that of the worst.
///
/// netbe init --services installs netbe-prune.timer, which runs it once a day, and leaves it off:
/// systemctl enable --now netbe-prune.timer
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe prune -n
  netbe prune nog --keep 3
  netbe prune --older-than 30d
  netbe set keep=10; netbe set keep=all nog")]
pub struct Prune {
    /// Nodes; all but templates without one
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// In every pool of this server, not in one
    #[arg(long, conflicts_with = "nodes")]
    pub all_pools: bool,
    /// How many environments to leave of each node: a number, or all
    #[arg(long, value_name = "N", value_parser = str::parse::<Keep>)]
    pub keep: Option<Keep>,
    /// Only those older than this: 30d, 2w, 36h
    #[arg(long, value_name = "DURATION", value_parser = args::age)]
    pub older_than: Option<SignedDuration>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

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
