//! `netbe describe`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::describe;
use crate::pool::Operand;

/// Set an environment's description
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe describe nog/first 'as delivered'
  netbe describe nog/first ''")]
pub struct Describe {
    /// The environment; of NODE alone the active one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operand: Operand,
    /// The description; an empty one removes it
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Sets a description.
pub fn describe(session: &Session, args: &Describe) -> Result<u8> {
    let outcome = describe::describe(
        &session.pool()?,
        &args.operand,
        &args.text,
        args.changing.into(),
    )?;
    if let Some(name) = session.done(outcome)? {
        session.sentence(&format!("Described {name}."))?;
    }
    Ok(0)
}
