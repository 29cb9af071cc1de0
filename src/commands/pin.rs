//! `netbe pin`, `netbe unpin`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::describe;
use crate::pool::Operand;
use crate::pool::pattern::Named;

/// Protect environments from being destroyed
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  netbe pin nog/first")]
pub struct Pin {
    /// The environments.
    #[command(flatten)]
    pub pins: Pins,
}

/// Remove the protection of pin
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  netbe unpin nog/first")]
pub struct Unpin {
    /// The environments.
    #[command(flatten)]
    pub pins: Pins,
}

/// The arguments of `pin` and `unpin`.
#[derive(Debug, Args)]
pub struct Pins {
    /// The environments; of NODE alone the active one
    #[arg(required = true, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operands: Vec<Named<Operand>>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Pins environments.
pub fn pin(session: &Session, args: &Pin) -> Result<u8> {
    set(session, &args.pins, true)
}

/// Unpins environments.
pub fn unpin(session: &Session, args: &Unpin) -> Result<u8> {
    set(session, &args.pins, false)
}

/// Pins or unpins environments.
fn set(session: &Session, args: &Pins, pinned: bool) -> Result<u8> {
    let pool = session.pool()?;
    let verb = if pinned { "Pinned" } else { "Unpinned" };
    let (operands, unmatched) = session.chosen(&pool, &args.operands)?;
    let done = session.each(&operands, |operand| {
        let outcome = describe::pin(&pool, operand, pinned, args.changing.into())?;
        if let Some(name) = session.done(outcome)? {
            session.sentence(&format!("{verb} {name}."))?;
        }
        Ok(0)
    });
    session.beside(unmatched, done)
}
