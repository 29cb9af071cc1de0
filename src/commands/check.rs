//! `netbe check`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::check::{self, Finding, Repaired};
use crate::lifecycle::on_card;
use crate::output::{clean, json};
use crate::pool::NodeName;
use crate::terminal;

/// Check the pool and its nodes, and repair them
///
/// Prints each finding with its remedy; the exit status is 1 if there is one. --repair fixes what has only one safe
/// fix: leftovers of an interrupted command, missing links, stale exports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe check
  netbe check nog --json
  netbe check --repair")]
pub struct Check {
    /// The node [default: the pool and all nodes]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<NodeName>,
    /// Fix what has only one safe fix
    #[arg(long)]
    pub repair: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Checks the pool, and repairs it with `--repair`.
pub fn run(session: &Session, args: &Check) -> Result<u8> {
    let pool = session.pool()?;
    let node = args.node.as_ref();
    let mut failed = false;
    let mut findings = match args.repair {
        true => {
            let Repaired {
                done,
                findings,
                failures,
            } = session.busy("Checking", || {
                check::repair(&pool, node, args.changing.into())
            })?;
            if args.changing.dry_run {
                session.plan(&done)?;
            } else if !done.is_empty() {
                let sentence = format!("Repaired: {}.", done.join(", "));
                session.sentence(&sentence)?;
            }
            failed = !failures.is_empty();
            session.failed(&failures);
            findings
        }
        false => session.busy("Checking", || check::check(&pool, node))?,
    };
    for finding in &mut findings {
        finding.remedy = terminal::with_pool(&finding.remedy);
    }
    if args.json {
        session.answer(&json::list("findings", &findings)?)?;
    } else if findings.is_empty() {
        session.sentence("Everything is sound.")?;
    } else {
        session.answer(&findings.iter().map(line).collect::<String>())?;
    }
    // No damage, and not to be repaired from here.
    session.notes(&on_card::warnings(&pool, node)?);
    if node.is_none()
        && let Some(note) = check::one_domain(&pool)?
    {
        session.notes(&[note]);
    }
    Ok(u8::from(failed || !findings.is_empty()))
}

fn line(finding: &Finding) -> String {
    format!(
        "{}: {}\n  remedy: {}\n",
        clean(&finding.about),
        clean(&finding.problem),
        clean(&finding.remedy)
    )
}
