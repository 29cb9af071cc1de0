//! `netbe activate`, `netbe rollback`, `netbe confirm`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::args::{self, Changing};
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::lifecycle::activate::{self, Activated};
use crate::lifecycle::trial::{self, Begun, How};
use crate::lifecycle::{Mode, Outcome};
use crate::pool::{NodeName, Operand, Pool};

/// Choose what a node boots next
///
/// NODE alone names its newest environment, if that is newer than the active one: the one that upgrade has just made.
/// Without an operand, the only node that has a newer environment is meant.
///
/// The environment is verified first: kernel, initramfs and modules have to belong together, and the boot files
/// have to name its own root. An environment that would not boot is refused, with the reasons.
///
/// With --once and --try, the node's TFTP names lead to the environment until it has been fetched, and then back to
/// the active one, before the outcome of the boot is known: power-cycling a machine that hangs boots the
/// active environment. The fetch is observed by netbe serve (see netbe-init, --services); without netbe serve, by the
/// report and the NFS server's tables. Where neither tells, a trial ends DURATION after it was set, and a boot for once
/// after a day, whether the machine was booted or not. An environment on trial reboots 10 s after a kernel panic (panic= on its
/// command line), and gets the flag ! if it did not report in time.
///
/// An environment counts as fetched five seconds after the first fetch of its kernel and initramfs, or two minutes
/// after the fetch of a kernel alone; later fetches change nothing. Any host on the network can fetch. Where the node's
/// address is known (see netbe-status), only its own transfers count. Where it is not, the transfer of another host can
/// end the pending boot before the node has used it, and do no other harm. power.cycle is run for a trial that did not
/// report, unless the NFS server has had another environment of the node in use since the trial was fetched; where
/// the address is not known, eight minutes or more after that, and only if an NFS server was there to observe.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe activate ordo
  netbe activate nog/before-the-party
  netbe activate --try ordo
  netbe activate --try=30m ordo/next
  netbe activate --once nog/rescue
  netbe activate --cancel nog
  netbe activate -n ordo")]
pub struct Activate {
    /// The environment, or a node
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operand: Option<Operand>,
    /// For the next boot only; the boot after it is the active environment again
    #[arg(long, group = "how")]
    pub once: bool,
    /// For the next boot; permanently if the node reports within DURATION (10m) that the boot completed
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = args::duration, group = "how")]
    pub trial: Option<SignedDuration>,
    /// Cancel the pending boot of --once or --try
    #[arg(long, group = "how", conflicts_with = "force")]
    pub cancel: bool,
    /// Activate it even if it would not boot
    #[arg(long)]
    pub force: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Activate the previously active environment
///
/// A second rollback undoes the first. The environment is verified as by activate.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe rollback ordo")]
pub struct Rollback {
    /// The node
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: NodeName,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Make the environment of a pending boot or trial the active one
///
/// For an environment without the unit that reports a completed boot, or to end a trial before its time.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe confirm ordo")]
pub struct Confirm {
    /// The node
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: NodeName,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Chooses what a node boots next.
pub fn activate(session: &Session, args: &Activate) -> Result<u8> {
    let pool = session.pool()?;
    let mode = args.changing.into();
    let operand = args.operand.as_ref();
    if args.cancel {
        return cancel(session, &pool, operand, mode);
    }
    match How::asked(args.once, args.trial) {
        Some(how) => begun(
            session,
            trial::begin(&pool, operand, how, args.force, mode)?,
            how,
        ),
        None => tell(
            session,
            activate::activate(&pool, operand, args.force, mode)?,
        ),
    }
}

/// Makes the environment of a pending boot or trial the active one.
pub fn confirm(session: &Session, args: &Confirm) -> Result<u8> {
    let outcome = trial::confirm(&session.pool()?, &args.node, args.changing.into())?;
    tell(session, outcome)
}

fn cancel(session: &Session, pool: &Pool, operand: Option<&Operand>, mode: Mode) -> Result<u8> {
    let Some(operand) = operand else {
        return Err(Failure::usage("--cancel needs a node")
            .hint("netbe activate NODE --cancel")
            .into());
    };
    if let Some(what) = session.done(trial::cancel(pool, &operand.node, mode)?)? {
        session.sentence(&match what {
            Some(what) => format!(
                "Cancelled the boot of {what}: {}'s next boot is its active environment.",
                operand.node
            ),
            None => format!("{} has no pending boot.", operand.node),
        })?;
    }
    Ok(0)
}

/// Prints the outcome of setting a pending boot.
pub fn begun(session: &Session, outcome: Outcome<Begun>, how: How) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        let (name, node, back) = (&done.id, &done.id.node, &done.back_to);
        session.sentence(&match how {
            How::Once => format!("The next boot of {node} is {name}; the boot after that is {back}."),
            How::Try(within) => format!(
                "The next boot of {node} is {name}; it becomes active if it reports a completed boot within {within:#}, else {back} stays active."
            ),
        })?;
        session.warnings(&done.warnings);
    }
    Ok(0)
}

/// Activates the previously active environment.
pub fn rollback(session: &Session, args: &Rollback) -> Result<u8> {
    let outcome = activate::rollback(&session.pool()?, &args.node, args.changing.into())?;
    tell(session, outcome)
}

fn tell(session: &Session, outcome: Outcome<Activated>) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        session.sentence(&match &done.before {
            Some(before) => format!("Activated {}; {before} was active before.", done.id),
            None => format!("{} is active.", done.id),
        })?;
        session.warnings(&done.warnings);
    }
    Ok(0)
}
