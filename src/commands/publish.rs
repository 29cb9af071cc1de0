//! `netbe publish`

use anyhow::Result;

use super::Session;
use crate::cli::Publish;
use crate::lifecycle::Mode;
use crate::publish;

/// Writes again what the network is offered.
pub fn run(session: &Session, args: &Publish) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let lock = match mode.dry_run {
        true => None,
        false => Some(pool.lock(mode.wait)?),
    };
    let done = publish::everything(&pool, lock.as_ref())?;
    if mode.dry_run {
        session.screen.plan(&done.steps)?;
    } else if done.steps.is_empty() {
        session
            .screen
            .sentence("Everything is published already.")?;
    } else {
        session
            .screen
            .sentence(&format!("Published: {}.", done.steps.join(", ")))?;
    }
    session.screen.warnings(&done.warnings);
    Ok(0)
}
