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
/// NODE alone means its newest environment, where that is newer than the active one: what upgrade has just
/// made. Without an operand the same, where exactly one node has such a one.
///
/// The environment is checked first: kernel, initramfs and modules belong together, and the boot files
/// name its own root. One that would not boot is refused with the reasons.
///
/// With --once and --try the names a machine asks by lead to the environment until it has been fetched,
/// and then back to what is active, before it is known whether it came up: power-cycling a machine that
/// hangs boots what is active. This goes by what netbe serve has handed out (see netbe-init, --services); without that,
/// by the report and by the NFS server's tables. A tried environment starts again 10 s after a kernel
/// panic (panic= on its command line), and is flagged ! when it did not report in its time.
///
/// It is taken for fetched five seconds after its kernel and initramfs were fetched for the first time, and two minutes
/// after a kernel alone; what is fetched later moves nothing. Anybody on the network can fetch. Where the node's address
/// is known (see netbe-status) only its own transfers count; where it is not, a stranger can have the boot over before it
/// began, and nothing worse. power.cycle is called for a trial that did not report, but never where the NFS server has had
/// another environment of the node in use since the trial was fetched; where the address is not known, only eight minutes
/// or more after that, while an NFS server was there to see it.
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
    /// For the next boot only; then what is active boots again
    #[arg(long, group = "how")]
    pub once: bool,
    /// For the next boot, and for good when the node reports within DURATION (10m) that it came up
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = args::duration, group = "how")]
    pub trial: Option<SignedDuration>,
    /// Take back a boot for once or on trial
    #[arg(long, group = "how", conflicts_with = "force")]
    pub cancel: bool,
    /// Activate it although it may not boot
    #[arg(long)]
    pub force: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Activate what was active before
///
/// Twice is back again. It is checked as activate does.
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

/// Make what a node boots once or on trial the active one
///
/// By hand, where nothing in it reports that it came up, or nobody wants to wait for that.
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

/// Makes what a node boots once or on trial the active one.
pub fn confirm(session: &Session, args: &Confirm) -> Result<u8> {
    let outcome = trial::confirm(&session.pool()?, &args.node, args.changing.into())?;
    tell(session, outcome)
}

fn cancel(session: &Session, pool: &Pool, operand: Option<&Operand>, mode: Mode) -> Result<u8> {
    let Some(operand) = operand else {
        return Err(Failure::usage("--cancel wants a node")
            .hint("netbe activate NODE --cancel")
            .into());
    };
    if let Some(what) = session.done(trial::cancel(pool, &operand.node, mode)?)? {
        session.screen.sentence(&match what {
            Some(what) => format!(
                "{what} is not booted any more; {} boots what is active.",
                operand.node
            ),
            None => format!(
                "{} has nothing before it for once or on trial.",
                operand.node
            ),
        })?;
    }
    Ok(0)
}

/// Tells what an outcome of beginning a boot for once or on trial is.
pub fn begun(session: &Session, outcome: Outcome<Begun>, how: How) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        let (name, node, back) = (&done.id, &done.id.node, &done.back_to);
        session.screen.sentence(&match how {
            How::Once => format!("The next boot of {node} is {name}; after that it is {back} again."),
            How::Try(within) => format!(
                "The next boot of {node} is {name}; it stays when it reports within {within:#} that it came up, else {back} is back."
            ),
        })?;
        session.screen.warnings(&done.warnings);
    }
    Ok(0)
}

/// Activates what was active before.
pub fn rollback(session: &Session, args: &Rollback) -> Result<u8> {
    let outcome = activate::rollback(&session.pool()?, &args.node, args.changing.into())?;
    tell(session, outcome)
}

fn tell(session: &Session, outcome: Outcome<Activated>) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        session.screen.sentence(&match &done.before {
            Some(before) => format!("Activated {}; before it was {before}.", done.id),
            None => format!("{} is active.", done.id),
        })?;
        session.screen.warnings(&done.warnings);
    }
    Ok(0)
}
