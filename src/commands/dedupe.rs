//! `netbe dedupe`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::lifecycle::dedupe::{self, Shared};
use crate::output::progress::{Line, bytes};
use crate::pool::NodeName;

/// Let identical files of different environments share their space again
///
/// Environments that were upgraded each by itself hold the same new files over and over. Files of the same
/// path and size, in the same half, are compared; what is the same shares its space from then on, and large
/// files that differ in a few blocks, such as apt's caches, share the rest. The content and times of no file
/// change, so environments that are active or running take part, too. What shares its space already is not
/// read, and so a second run has little to do.
///
/// All nodes and templates without one; with nodes, their environments and those they were made from, among
/// each other. What came back is told: what a snapshot of somebody else's still holds does not. Files below
/// 2 KiB stand in the filesystem's own trees, and are shared with nothing.
///
/// Stopped, what was done stays done. A node that another netbe is changing is waited for (--wait), then left
/// out; the exit status is 5 then.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe dedupe -n
  netbe dedupe
  netbe dedupe nog ordo")]
pub struct Dedupe {
    /// Nodes; all without one
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<NodeName>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Lets identical files share their space.
pub fn run(session: &Session, args: &Dedupe) -> Result<u8> {
    let pool = session.pool()?;
    let mut line = Line::new(session.screen.draws_progress());
    let shared = dedupe::dedupe(&pool, &args.nodes, &mut line, args.changing.into());
    drop(line);
    let shared = shared?;
    // Before what was done: the last line is the answer.
    let worst = session.failed(&shared.failures);
    if shared.stopped {
        // Where it was stopped before it shared anything there is nothing to tell.
        let why = interrupt::requested().map_or(String::new(), |signal| format!(" by {signal}"));
        return Err(Failure::failed(match args.changing.dry_run {
            true => format!("stopped{why}"),
            false => format!(
                "stopped{why}; until then {} shared their space again, and {} came back",
                files(shared.total()),
                bytes(shared.gained)
            ),
        })
        .into());
    }
    match args.changing.dry_run {
        true => session.screen.plan(&steps(&shared))?,
        false => session.screen.sentence(&sentence(&shared))?,
    }
    Ok(worst)
}

fn steps(shared: &Shared) -> Vec<String> {
    let one = |(env, count): (&String, &usize)| format!("share {} of {env}", files(*count));
    let mut steps: Vec<String> = shared.files.iter().map(one).collect();
    if !steps.is_empty() {
        steps.push(format!("gain {}", bytes(shared.gained)));
    }
    steps
}

fn sentence(shared: &Shared) -> String {
    let all = match shared.environments {
        1 => "1 environment".to_string(),
        n => format!("{n} environments"),
    };
    match shared.total() {
        0 => format!("Nothing to share: looked through {all}."),
        total => format!(
            "Shared the space of {} in {} of {all}: {} came back.",
            files(total),
            shared.files.len(),
            bytes(shared.gained)
        ),
    }
}

fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_string(),
        n => format!("{n} files"),
    }
}
