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
/// The command runs in a container, and can detect that. It sees a machine that boots over the network, without disks:
/// /proc/mounts, findmnt, mount and df show both halves as NFS; only /proc/self/mountinfo, and /etc/mtab if it is a
/// link to /proc/self/mounts, name the device of the pool. While it runs, netbe replaces /etc/resolv.conf,
/// /usr/sbin/policy-rc.d, and settings of initramfs-tools and dracut that would make an initramfs for this server; each is
/// restored at the end, unless the command changed it. If netbe is killed meanwhile, the next run or upgrade, or netbe
/// check --repair, restores them; the environment is not booted before that.
///
/// If the node has data of its own (netbe-set), the command works with a copy of it, which is deleted afterwards; netbe
/// names what was changed in it.
///
/// The output is passed on unchanged: the environment's programs can control your terminal, as with ssh to a foreign
/// machine. Pipe it through cat -v if you do not trust the node.
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
/// The shell works with a copy of the node's data, which is deleted afterwards, as in netbe-run.
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
