//! `netbe reconcile`, and the hidden `netbe transfer`, which records that a machine fetched a file.

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

/// Finish pending boots and trials
///
/// Leads a node back to its active environment once it has fetched the files of its pending boot. Activates a
/// trial that reported a completed boot, and flags one that did not in time. Run by netbe-reconcile.timer; safe at any
/// time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe reconcile -n")]
pub struct Reconcile {
    /// One node only
    #[arg(hide = true)]
    pub node: Option<NodeName>,
    /// Reconcile every pool of this server
    #[arg(long, conflicts_with = "node")]
    pub all_pools: bool,
    /// Wait this long first
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub after: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Record that a machine fetched a file: for the script of a TFTP server other than netbe serve
#[derive(Debug, Args)]
pub struct Transfer {
    /// Its size in bytes
    pub size: u64,
    /// The client's address
    pub client: String,
    /// The file, as the TFTP server names it
    pub path: PathBuf,
}

/// Finishes pending boots and trials.
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
            session.sentence(sentence)?;
        }
        session.warnings(&result.warnings);
        Ok(u8::from(!result.warnings.is_empty()))
    })
}

/// Records a transfer.
pub fn transfer(session: &Session, args: &Transfer) -> Result<u8> {
    let pool = session.pool()?;
    if let Some(node) = tftp_transfer::note(&pool, args.size, &args.client, &args.path)? {
        reconcile_soon(session, pool.root(), &node)?;
    }
    Ok(0)
}

/// Starts a process that reconciles when the machine has fetched nothing for `QUIET`; does not wait for it.
///
/// If that process is killed with the TFTP server, the timer does the same later.
pub(super) fn reconcile_soon(session: &Session, pool: &Path, node: &NodeName) -> Result<()> {
    let seconds = judgement::QUIET.as_secs() + 1;
    // The unit's sandbox cannot write what a reconciliation changes, so systemd starts the process outside of it.
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
    // Without wait(2), each would stay a zombie as long as this process runs.
    std::thread::spawn(move || child.wait());
    Ok(())
}
