//! `netbe dedupe`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::lifecycle::dedupe::{self, Shared, files};
use crate::output::progress::Line;
use crate::pool::NodeName;
use crate::pool::pattern::Named;
use crate::terminal::bytes;

/// Share the extents of identical files in different environments
///
/// Upgrading several environments writes the same new files to each of them. dedupe compares files of the same path and
/// size in the same half. Identical files share their extents afterwards; large files that differ in a few blocks, such as
/// apt's caches, share the rest. No content and no timestamp changes, so active and running environments take part too.
/// Extents that are shared already are not read, so a second run is fast.
///
/// Without NODE, all nodes and templates are compared; with nodes, their environments and the origins of these. The
/// command prints how much space was freed: extents that a snapshot elsewhere still refers to are not. Files below
/// 2 KiB, which btrfs may store in its metadata, are not shared.
///
/// If the command is interrupted, what it has shared stays shared. If another netbe holds a node's lock for longer than
/// --wait, that node is skipped, and the exit status is 5.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe dedupe -n
  netbe dedupe
  netbe dedupe nog ordo")]
pub struct Dedupe {
    /// Nodes, by name or pattern ('rack1-*') [default: all]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node except templates
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Shares the extents of identical files.
pub fn run(session: &Session, args: &Dedupe) -> Result<u8> {
    let pool = session.pool()?;
    let (nodes, unmatched) = session.chosen_or_all(&pool, &args.nodes, args.all)?;
    let mut line = Line::new(session.draws_progress());
    let shared = dedupe::dedupe(&pool, &nodes, &mut line, args.changing.into());
    drop(line);
    let shared = shared?;
    // Failures first: the last line is the answer.
    let worst = session.failed(&shared.failures).max(unmatched);
    if shared.stopped {
        let why = interrupt::requested().map_or(String::new(), |signal| format!(" by {signal}"));
        return Err(Failure::failed(match args.changing.dry_run {
            true => format!("stopped{why}"),
            false => format!(
                "stopped{why} after sharing {} and freeing {}",
                files(shared.total()),
                bytes(shared.gained)
            ),
        })
        .into());
    }
    match args.changing.dry_run {
        true => session.plan(&shared.steps())?,
        false => session.sentence(&sentence(&shared))?,
    }
    Ok(worst)
}

fn sentence(shared: &Shared) -> String {
    let all = match shared.environments {
        1 => "1 environment".to_string(),
        n => format!("{n} environments"),
    };
    match shared.total() {
        0 => format!("Nothing to share: compared {all}."),
        total => format!(
            "Shared {} in {} of {all}: {} freed.",
            files(total),
            shared.files.len(),
            bytes(shared.gained)
        ),
    }
}
