//! `netbe activate`, `netbe rollback`, `netbe confirm`

use anyhow::Result;

use super::Session;
use crate::cli::{Activate, Confirm, Rollback};
use crate::failure::Failure;
use crate::lifecycle::activate::{self, Activated};
use crate::lifecycle::trial::{self, Begun, How};
use crate::lifecycle::{Mode, Outcome};
use crate::pool::{Operand, Pool};

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
        let (name, node, back) = (&done.name, &done.node, &done.back_to);
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
            Some(before) => format!("Activated {}; before it was {before}.", done.name),
            None => format!("{} is active.", done.name),
        })?;
        session.screen.warnings(&done.warnings);
    }
    Ok(0)
}
