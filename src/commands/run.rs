//! `netbe run`, `netbe shell`

use anyhow::Result;

use super::Session;
use crate::cli::{Changing, Run, Shell};
use crate::failure::Failure;
use crate::lifecycle::running::{self, What};
use crate::pool::Operand;
use crate::sandbox::Ended;

/// The status that says netbe itself failed, as chroot(1) has it.
const NETBE_FAILED: u8 = 125;

/// Runs a command inside an environment.
pub fn run(session: &Session, args: Run) -> Result<u8> {
    inside(
        session,
        &args.operand,
        &What::Command(args.program),
        args.changing,
    )
}

/// Opens a shell inside an environment.
pub fn shell(session: &Session, args: &Shell) -> Result<u8> {
    inside(session, &args.operand, &What::Shell, args.changing)
}

fn inside(session: &Session, operand: &Operand, what: &What, changing: Changing) -> Result<u8> {
    let outcome = session
        .pool()
        .and_then(|pool| running::run(&pool, operand, what, changing.into()))
        .map_err(unlike_the_command)?;
    let Some(ended) = session.done(outcome)? else {
        return Ok(0);
    };
    if let Ended::CannotRun(why) | Ended::NotFound(why) = &ended {
        session.screen.warnings(std::slice::from_ref(why));
    }
    Ok(ended.status())
}

/// Gives netbe's own unforeseen failures a status that no command's 1 is taken for; refusals keep theirs.
fn unlike_the_command(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Failure>() {
        Some(_) => error,
        None => error.context(Failure::with_status(
            NETBE_FAILED,
            "the command was not run",
        )),
    }
}
