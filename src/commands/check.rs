//! `netbe check`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::check::{self, Finding, Repaired};
use crate::output::{clean, json};
use crate::pool::NodeName;

/// Look for what is wrong, and mend it
///
/// Names each finding and its remedy; ends with 1 when there is one. --repair mends what has one safe
/// answer: leftovers of an interrupted command, missing pointers, stale exports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe check
  netbe check nog --json
  netbe check --repair")]
pub struct Check {
    /// The node; all and the pool without it
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<NodeName>,
    /// Mend what has one safe answer
    #[arg(long)]
    pub repair: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Looks for what is wrong, and mends it where that is asked for.
pub fn run(session: &Session, args: &Check) -> Result<u8> {
    let pool = session.pool()?;
    let node = args.node.as_ref();
    let mut failed = false;
    let findings = match args.repair {
        true => {
            let Repaired {
                done,
                findings,
                failures,
            } = check::repair(&pool, node, args.changing.into())?;
            if args.changing.dry_run {
                session.screen.plan(&done)?;
            } else if !done.is_empty() {
                let sentence = format!("Repaired: {}.", done.join(", "));
                session.screen.sentence(&sentence)?;
            }
            failed = !failures.is_empty();
            session.failed(&failures);
            findings
        }
        false => check::check(&pool, node)?,
    };
    if args.json {
        session.screen.answer(&json::list("findings", &findings)?)?;
    } else if findings.is_empty() {
        session.screen.sentence("Everything is sound.")?;
    } else {
        session
            .screen
            .answer(&findings.iter().map(line).collect::<String>())?;
    }
    if node.is_none()
        && let Some(told) = check::one_domain(&pool)?
    {
        session.screen.notes(&[told]);
    }
    if !nix::unistd::geteuid().is_root() {
        session
            .screen
            .warnings(&["not being root, netbe could not look at everything".to_string()]);
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
