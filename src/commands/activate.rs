//! `netbe activate`; and how the outcome of `rollback` and `confirm` is printed

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use jiff::SignedDuration;

use super::args::{self, Changing};
use super::complete;
use super::session::Session;
use crate::failure::Failure;
use crate::lifecycle::activate::{self, Activated};
use crate::lifecycle::merge;
use crate::lifecycle::trial::{self, Begun, How};
use crate::lifecycle::{Mode, Outcome};
use crate::pool::pattern::Named;
use crate::pool::{NodeName, Operand, Pool};

/// Choose what a node boots next
///
/// NODE alone means the environment that upgrade (or create --from another node) made last, if it is newer than the
/// active one; or the environment of its pending boot; or a newer one that the node is known to have run. A copy that
/// was made otherwise has to be named. Without an operand, the only node that has such an environment is meant. Of
/// several operands, one that is refused does not stop the others, and the exit status is that of the worst.
///
/// The environment is verified first: kernel, initramfs and modules have to belong together, and the boot files
/// have to name its own root. An environment that would not boot is refused, with the reasons.
///
/// The command names what the node has written in the environment that it runs and that is missing in the other one.
/// With --merge these changes are merged first, as by netbe merge, and the result is activated, unless both changed the
/// same file.
///
/// With --once and --try, the node's TFTP names lead to the environment until it has been fetched, and then back to the
/// active one, before the outcome of the boot is known: power-cycling a machine that hangs boots the active
/// environment. The fetch is observed by netbe serve (see netbe-init, --services); without netbe serve, by the report
/// and the NFS server's tables. Without either, a trial ends DURATION after it was set, and a boot for once after a
/// day, whether the machine was booted or not. An environment on trial reboots 10 s after a kernel panic (panic= on its
/// command line), and gets the flag ! if it did not report in time. The argument stays after the trial, since the node may be
/// running with it, until boot files are written again: netbe set --existing NODE.
///
/// A node of several machines (access=ro, see netbe-set) has neither: its machines boot each at its own time, and no one
/// boot would be the next. To try an environment on one of them, make that one a node of its own, with the address ADDR
/// that was in the list: netbe set --force mac=OTHERS web; netbe create web-1 --from web/next --mac ADDR; netbe set
/// --existing access=ro web-1.
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
  netbe activate nog ordo
  netbe activate --all
  netbe activate --merge ordo
  netbe activate --try ordo
  netbe activate --try=30m ordo/next
  netbe activate --once nog/rescue
  netbe activate --cancel nog
  netbe activate -n ordo")]
pub struct Activate {
    /// Environments, or nodes
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operands: Vec<Named<Operand>>,
    /// Every node that has such an environment
    #[arg(long, conflicts_with = "operands")]
    pub all: bool,
    /// For the next boot only; the boot after it is the active environment again
    #[arg(long, group = "how")]
    pub once: bool,
    /// For the next boot; permanently if the node reports within DURATION (10m) that the boot completed
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = args::duration, group = "how")]
    pub trial: Option<SignedDuration>,
    /// Cancel the pending boot of --once or --try
    #[arg(long, group = "how", conflicts_with = "force")]
    pub cancel: bool,
    /// Merge what the node would leave behind, and activate the result; see netbe-merge
    #[arg(long, conflicts_with = "how")]
    pub merge: bool,
    /// With --merge, also install and remove the packages that the node has added and removed
    #[arg(long, requires = "merge")]
    pub packages: bool,
    /// Activate it even if it would not boot, or the record of what it replaces cannot be read
    #[arg(long)]
    pub force: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Chooses what a node boots next.
pub fn activate(session: &Session, args: &Activate) -> Result<u8> {
    let pool = session.pool()?;
    let mode = args.changing.into();
    let (chosen, unmatched) = session.chosen(&pool, &args.operands)?;
    let operands = match args.all {
        true if args.cancel => nodes(trial::pending(&pool)?, "has a pending boot")?,
        true => nodes(activate::proposed(&pool)?, "has an upgrade to activate")?,
        false => chosen,
    };
    if args.cancel {
        if operands.is_empty() {
            return Err(Failure::usage("--cancel needs a node")
                .hint("netbe status")
                .into());
        }
        let done = session.each(&operands, |operand| cancel(session, &pool, operand, mode));
        return session.beside(unmatched, done);
    }
    let how = How::asked(args.once, args.trial);
    let one = |operand: Option<&Operand>| match how {
        Some(how) => print_pending(
            session,
            session.busy("Verifying", || {
                trial::begin(&pool, operand, how, args.force, mode)
            })?,
            how,
        ),
        None if args.merge => {
            let take = || merge::and_activate(&pool, operand, args.packages, args.force, mode);
            let outcome = match args.packages {
                // The package manager prints.
                true => take()?,
                false => session.busy("Merging", take)?,
            };
            merged(session, outcome)
        }
        None => print_result(
            session,
            session.busy("Verifying", || {
                activate::activate(&pool, operand, args.force, mode)
            })?,
        ),
    };
    match operands.is_empty() {
        true => one(None),
        false => session.beside(
            unmatched,
            session.each(&operands, |operand| one(Some(operand))),
        ),
    }
}

/// Prints what was merged and activated.
fn merged(session: &Session, outcome: Outcome<merge::Taken>) -> Result<u8> {
    let Some(taken) = session.done(outcome)? else {
        return Ok(0);
    };
    let mut status = 0;
    if let Some(merged) = &taken.merged {
        status = super::merge::print_result(session, merged, false)?;
    }
    match taken.activated {
        Some(activated) => Ok(status.max(print_result(session, Outcome::Done(activated))?)),
        None => Ok(status),
    }
}

/// Returns the operands for these nodes.
///
/// # Errors
/// A refusal if there are none.
pub(super) fn nodes(names: Vec<NodeName>, what: &str) -> Result<Vec<Operand>> {
    if names.is_empty() {
        return Err(Failure::refused(format!("no node {what}"))
            .hint("netbe status")
            .into());
    }
    let operand = |node| Operand { node, env: None };
    Ok(names.into_iter().map(operand).collect())
}

fn cancel(session: &Session, pool: &Pool, operand: &Operand, mode: Mode) -> Result<u8> {
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
pub fn print_pending(session: &Session, outcome: Outcome<Begun>, how: How) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        let (name, node, back) = (&done.id, &done.id.node, &done.back_to);
        session.sentence(&match how {
            How::Once => format!("The next boot of {node} is {name}; the boot after that is {back}."),
            How::Try(within) => format!(
                "The next boot of {node} is {name}; it becomes active if it reports a completed boot within {within:#}, else {back} stays active."
            ),
        })?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}

/// Activates on `all` of these nodes, or else on the named ones, and prints the result of each.
pub(super) fn each(
    session: &Session,
    pool: &Pool,
    named: &[Named<NodeName>],
    all: Option<Vec<Operand>>,
    activate: impl Fn(&NodeName) -> Result<Outcome<Activated>>,
) -> Result<u8> {
    let (chosen, unmatched) = session.chosen(pool, named)?;
    let operands = all.map_or_else(|| nodes(chosen, "is named"), Ok)?;
    let done = session.each(&operands, |operand| {
        print_result(session, activate(&operand.node)?)
    });
    session.beside(unmatched, done)
}

fn print_result(session: &Session, outcome: Outcome<Activated>) -> Result<u8> {
    if let Some(done) = session.done(outcome)? {
        let mut sentence = match &done.before {
            Some(before) => format!("Activated {}; {before} was active before.", done.id),
            None => format!("{} is active.", done.id),
        };
        if let Some(ended) = &done.ended {
            sentence.push_str(&format!(" This ended {ended}."));
        }
        session.sentence(&sentence)?;
        session.notes(&done.notes);
        session.warnings(&done.warnings);
    }
    Ok(0)
}
