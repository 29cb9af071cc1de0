//! `netbe run`, `netbe shell`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::failure::{Failure, Kind};
use crate::lifecycle::run::{self, Ran, What};
use crate::pool::Operand;
use crate::sandbox::Ended;

/// Run a command inside an environment
///
/// The environment must be neither active nor booted; a template's may be active. The exit status is that of the
/// command; 125: netbe itself failed or refused, 126: the command cannot be run, 127: it was not found. Network
/// and disk limit are those of upgrade (137: it was killed at the limit).
///
/// It is a container, and says so. While it runs, /etc/resolv.conf and /usr/sbin/policy-rc.d are netbe's, and so are settings
/// of initramfs-tools and dracut that would make an initramfs for this server; each is put back at the end, but for what the
/// command made of it. Where netbe is killed meanwhile, the next run or upgrade, or netbe check --repair, puts them back; nothing
/// boots before that.
///
/// Where the node has data of its own (netbe-set), the command finds a copy of it, which is thrown away with what the command
/// changed there; that is told.
///
/// What the command says is shown as it is: your terminal does what the environment's programs tell it to,
/// like with ssh to a machine that is not yours. Send it through cat -v where you do not trust the node.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe run nog/next -- sh -c 'apt-get update && apt-get install -y vim'
  netbe run debian -- systemctl enable ssh")]
pub struct Run {
    /// The environment; of NODE alone the active one, as a template's
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operand: Operand,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub program: Vec<String>,
}

/// Open a shell inside an environment
///
/// The environment must be neither active nor booted; a template's may be active. The exit status is that of the
/// shell.
///
/// Data of the node is a copy there that is thrown away, as in netbe-run.
///
/// The environment's programs can control your terminal, as with ssh to a foreign machine.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe shell nog/next")]
pub struct Shell {
    /// The environment; of NODE alone the active one, as a template's
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operand: Operand,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// The status for a failure of netbe itself, the same as of chroot(1).
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
        .and_then(|pool| run::run(&pool, operand, what, changing.into()))
        .map_err(with_status_of_netbe)?;
    let Some(Ran { ended, notes }) = session.done(outcome)? else {
        return Ok(0);
    };
    session.notes(&notes);
    match &ended {
        Ended::CannotRun(why) | Ended::NotFound(why) => {
            session.failed(&[anyhow::Error::msg(why.clone())]);
        }
        Ended::Stopped(why) => {
            session.failed(&[anyhow::anyhow!("the command was killed: {why}")]);
        }
        Ended::Exited(_) | Ended::Signalled(_) => {}
    }
    Ok(ended.status())
}

/// Gives netbe's own failures and refusals status 125, so that scripts can tell them from the command's; usage errors keep 2.
pub(super) fn with_status_of_netbe(error: anyhow::Error) -> anyhow::Error {
    let failure = error.downcast_ref::<Failure>();
    if failure.is_some_and(|f| f.kind == Kind::Usage) {
        return error;
    }
    let changed = Failure::with_status(NETBE_FAILED, format!("{error:#}"));
    match failure.and_then(|f| f.hint.clone()) {
        Some(hint) => changed.hint(hint).into(),
        None => changed.into(),
    }
}
