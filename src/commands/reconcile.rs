//! `netbe reconcile`, and what notes by hand that a machine fetched a file.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::args::Changing;
use super::session::Session;
use crate::fs::own_program::own_program;
use crate::lifecycle::trial::judgement;
use crate::lifecycle::{Mode, reconcile};
use crate::pool::NodeName;
use crate::publish::tftp_transfer;
use crate::serve;

/// End trials whose time has come
///
/// Leads nodes back that have fetched what they were to boot once or on trial, makes permanent what
/// reported that it came up, and flags what did not in its time. Run by netbe-reconcile.timer; harmless at
/// any time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe reconcile -n")]
pub struct Reconcile {
    /// One node only
    #[arg(hide = true)]
    pub node: Option<NodeName>,
    /// Of every pool of this server, not of one
    #[arg(long, conflicts_with = "node")]
    pub all_pools: bool,
    /// Wait this long first
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub after: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Take note of a file that a machine fetched: for the script of another TFTP server than netbe serve
#[derive(Debug, Args)]
pub struct Transfer {
    /// Its size in bytes
    pub size: u64,
    /// Who fetched it
    pub client: String,
    /// The file, as the TFTP server names it
    pub path: PathBuf,
}

/// Ends trials whose time has come.
pub fn run(session: &Session, args: &Reconcile) -> Result<u8> {
    if let Some(seconds) = args.after {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    let mode: Mode = args.changing.into();
    session.each_pool(args.all_pools, |pool| {
        let outcome = reconcile::reconcile(pool, args.node.as_ref(), mode)?;
        let Some(result) = session.done(outcome)? else {
            return Ok(0);
        };
        for sentence in &result.done {
            session.screen.sentence(sentence)?;
        }
        session.screen.warnings(&result.warnings);
        Ok(u8::from(!result.warnings.is_empty()))
    })
}

/// Takes note of a transfer.
pub fn transfer(session: &Session, args: &Transfer) -> Result<u8> {
    let pool = session.pool()?;
    if let Some(node) = tftp_transfer::note(&pool, args.size, &args.client, &args.path)? {
        reconcile_soon(session, pool.root(), &node)?;
    }
    Ok(0)
}

/// Starts a reconciliation for when the machine will have been quiet, and does not wait for it.
///
/// Where it is killed before, with the TFTP server, the timer does the same later.
pub(super) fn reconcile_soon(session: &Session, pool: &Path, node: &NodeName) -> Result<()> {
    let seconds = judgement::QUIET.as_secs() + 1;
    // A unit is shut off from what a reconciliation changes: systemd starts that for it, outside.
    let mut command = match serve::is_unit() {
        true => {
            let mut command = Command::new("systemd-run");
            command
                .args(["--quiet", "--collect", "--no-block", "--"])
                .arg(own_program()?);
            command
        }
        false => Command::new(own_program()?),
    };
    let mut child = command
        .arg("--pool")
        .arg(pool)
        .arg("--state")
        .arg(&session.states)
        .args([
            "--quiet",
            "reconcile",
            "--after",
            &seconds.to_string(),
            node.as_str(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting netbe reconcile")?;
    // Else each would be left to this process for as long as that runs.
    std::thread::spawn(move || child.wait());
    Ok(())
}
