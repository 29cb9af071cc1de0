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
use crate::pool::pattern::Named;
use crate::pool::properties::Keep;
use crate::pool::{NodeName, Operand, Pool};

/// Destroy the oldest environments of nodes
///
/// Destroys the oldest environments of each node until --keep, or the node's property keep (default 5; all
/// keeps everything), are left. Without NODE, all nodes are pruned except templates, which have to be named.
///
/// An environment that destroy would refuse stays: active, booted or maybe booted, pending, pinned, mounted or in use. So does
/// the one that netbe rollback NODE or netbe activate NODE would choose. These stay at any age and count as kept.
/// -v and -n print them with the reason.
///
/// With --older-than, an environment is destroyed only if it is older than that as well. One that cannot be destroyed, or
/// whose record and thus age is lost, is reported; the others are still destroyed, and the exit status is that of the
/// worst failure.
///
/// netbe init --services installs netbe-prune.timer, which prunes once a day, but does not enable it. To enable it:
/// systemctl enable --now netbe-prune.timer
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe prune -n
  netbe prune nog --keep 3
  netbe prune --older-than 30d
  netbe set keep=10; netbe set keep=all nog")]
pub struct Prune {
    /// Nodes, by name or pattern ('rack1-*') [default: all but templates]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node except templates, as without NODE
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Prune every pool of this server
    #[arg(long, conflicts_with = "nodes")]
    pub all_pools: bool,
    /// How many environments to keep of each node: a number, or all
    #[arg(long, value_name = "N", value_parser = str::parse::<Keep>)]
    pub keep: Option<Keep>,
    /// Only those older than DURATION: 30d, 2w, 36h
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
        with_new: false,
    };
    session.each_pool(args.all_pools, |pool| {
        let (nodes, unmatched) = session.chosen_or_all(pool, &args.nodes, args.all)?;
        session.beside(unmatched, prune(session, pool, &nodes, request, mode))
    })
}

fn prune(
    session: &Session,
    pool: &Pool,
    nodes: &[NodeName],
    request: Request,
    mode: Mode,
) -> Result<u8> {
    let pruned = session.busy("Pruning", || prune::prune(pool, nodes, request, mode))?;
    // Failures first: the last line is the answer.
    let worst = session.failed(&pruned.failures);
    if mode.dry_run {
        session.notes(&pruned.stays);
        let mut steps = pruned.planned;
        let chosen: Vec<Operand> = pruned.chosen.into_iter().map(Operand::from).collect();
        if !chosen.is_empty() {
            steps.extend(destroy::freed(session, pool, |space| {
                space.of_environments(&chosen)
            }));
        }
        session.plan(&steps)?;
        return Ok(worst);
    }
    for why in pruned
        .stays
        .iter()
        .filter(|why| !pruned.waits.contains(why))
    {
        session.detail(why);
    }
    // A machine that never reports would keep environments for ever.
    session.notes(&pruned.waits);
    if !pruned.gone.is_empty() || pruned.failures.is_empty() {
        session.sentence(&match (pruned.gone.len(), pruned.stays.len()) {
                (0, 0) => "Nothing to prune.".to_string(),
                (0, stay) => {
                    format!("Nothing to prune: {stay} beyond the number to keep stay; -v prints the reasons.")
                }
                _ => format!("Destroyed {}.", pruned.gone.join(", ")),
            })?;
    }
    Ok(worst)
}
