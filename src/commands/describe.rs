//! `netbe describe`, `netbe pin`, `netbe unpin`

use anyhow::Result;

use super::Session;
use crate::cli::{Changing, Describe};
use crate::lifecycle::describe;
use crate::pool::Operand;

/// Sets a description.
pub fn describe(session: &Session, args: &Describe) -> Result<u8> {
    let outcome = describe::describe(
        &session.pool()?,
        &args.operand,
        &args.text,
        args.changing.into(),
    )?;
    if let Some(name) = session.done(outcome)? {
        session.screen.sentence(&format!("Described {name}."))?;
    }
    Ok(0)
}

/// Pins or unpins environments.
pub fn pin(
    session: &Session,
    operands: &[Operand],
    pinned: bool,
    changing: Changing,
) -> Result<u8> {
    let pool = session.pool()?;
    let verb = if pinned { "Pinned" } else { "Unpinned" };
    for operand in operands {
        let outcome = describe::pin(&pool, operand, pinned, changing.into())?;
        if let Some(name) = session.done(outcome)? {
            session.screen.sentence(&format!("{verb} {name}."))?;
        }
    }
    Ok(0)
}
