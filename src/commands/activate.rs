//! `netbe activate`, `netbe rollback`

use anyhow::Result;

use super::Session;
use crate::cli::{Activate, Rollback};
use crate::lifecycle::Outcome;
use crate::lifecycle::activation::{self, Activated};

/// Chooses what a node boots next.
pub fn activate(session: &Session, args: &Activate) -> Result<u8> {
    let outcome = activation::activate(
        &session.pool()?,
        args.operand.as_ref(),
        args.force,
        args.changing.into(),
    )?;
    tell(session, outcome)
}

/// Activates what was active before.
pub fn rollback(session: &Session, args: &Rollback) -> Result<u8> {
    let outcome = activation::rollback(&session.pool()?, &args.node, args.changing.into())?;
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
