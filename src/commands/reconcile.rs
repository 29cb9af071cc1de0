//! `netbe reconcile`, and what the TFTP server's script calls

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Session;
use crate::cli::{Reconcile, Transfer};
use crate::lifecycle::trial::{judgement, reconciling};
use crate::pool::NodeName;
use crate::publish::transfer;

/// Ends trials whose time has come.
pub fn run(session: &Session, args: &Reconcile) -> Result<u8> {
    if let Some(seconds) = args.after {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    let mode = args.changing.into();
    let outcome = reconciling::reconcile(&session.pool()?, args.node.as_ref(), mode)?;
    if let Some(result) = session.done(outcome)? {
        for sentence in &result.done {
            session.screen.sentence(sentence)?;
        }
        session.screen.warnings(&result.warnings);
        return Ok(u8::from(!result.warnings.is_empty()));
    }
    Ok(0)
}

/// Takes note of a transfer.
pub fn transfer(session: &Session, args: &Transfer) -> Result<u8> {
    let pool = session.pool()?;
    if let Some(node) = transfer::note(&pool, args.size, &args.client, &args.path)? {
        reconcile_soon(session, &node)?;
    }
    Ok(0)
}

/// Starts a reconciliation for when the machine will have been quiet, and does not wait for it.
///
/// Where it is killed before, with the TFTP server, the timer does the same later.
fn reconcile_soon(session: &Session, node: &NodeName) -> Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let seconds = judgement::QUIET.as_secs() + 1;
    Command::new(program)
        .arg("--pool")
        .arg(&session.pool_dir)
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
    Ok(())
}
