//! `netbe destroy`

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::session::Session;
use super::{complete, confirm};
use crate::failure::{Failure, Kind};
use crate::lifecycle::space::Space;
use crate::lifecycle::{Mode, Outcome, destroy};
use crate::pool::{NodeName, Operand, Pool};

/// Destroy environments, or a node with all of them
///
/// Refuses an environment that is active, booted or may be booted, pending, pinned, mounted or in use, and prints
/// the reason; others that are named are destroyed all the same, and the exit status is that of the worst. -r destroys whole nodes under the same rules, except that the active and the
/// pinned environments of a node that is not booted go too. The command returns when the deletion is durable; btrfs frees
/// the space in the background.
///
/// An environment may be booted if a TFTP name of the node led to it, or any host fetched a file of it, until the node
/// is known to run another one: see netbe-status. What the NFS server has in use is always refused. The NFS server keeps
/// entries for up to half an hour after a node has left an environment; if the node is known to have left, netbe has the
/// entries dropped, and the environment is unused if they do not come back within five seconds. This is checked again
/// just before anything is destroyed.
///
/// With -n, and before the question, the command prints how much space will be freed: what only the named
/// environments refer to, counted as netbe list --space counts UNIQUE.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe destroy nog/old nog/older
  netbe destroy -n nog/old nog/older
  netbe destroy -r werda")]
pub struct Destroy {
    /// The environments; with -r, the nodes
    #[arg(required = true, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operands: Vec<Operand>,
    /// Destroy whole nodes
    #[arg(short, long)]
    pub recursive: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Destroys environments, or whole nodes.
pub fn run(session: &Session, args: &Destroy) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let look = Mode {
        dry_run: true,
        ..mode
    };
    let (operands, refused) = able(&pool, args, look)?;
    let worst = session.failed(&refused);
    if operands.is_empty() {
        return Ok(worst);
    }
    let bytes = |space: &Space| match args.recursive {
        true => space.of_nodes(&operands),
        false => space.of_environments(&operands),
    };
    if !mode.dry_run && !args.yes {
        // Refuse before asking: a question about what will be refused is useless.
        if let Outcome::Planned(mut steps) = destroy(&pool, &operands, args.recursive, look)? {
            if std::io::stdin().is_terminal() {
                steps.extend(freed(session, &pool, bytes));
            }
            confirmed(&steps)?;
        }
    }
    let mut outcome = destroy(&pool, &operands, args.recursive, mode)?;
    if let Outcome::Planned(steps) = &mut outcome {
        steps.extend(freed(session, &pool, bytes));
    }
    if let Some(gone) = session.done(outcome)? {
        session.sentence(&format!("Destroyed {}.", gone.join(", ")))?;
    }
    Ok(worst)
}

/// Returns those that may be destroyed, and why the others may not; an only one is left to the command itself.
///
/// # Errors
/// `Usage`: then nothing is done.
fn able(pool: &Pool, args: &Destroy, look: Mode) -> Result<(Vec<Operand>, Vec<anyhow::Error>)> {
    let (mut able, mut refused) = (args.operands.clone(), Vec::new());
    if able.len() > 1 {
        able.clear();
        for operand in &args.operands {
            let one = std::slice::from_ref(operand);
            let Err(error) = destroy(pool, one, args.recursive, look) else {
                able.push(operand.clone());
                continue;
            };
            match error.downcast_ref::<Failure>().map(|failure| failure.kind) {
                Some(Kind::Usage) => return Err(error),
                // The lock is waited for.
                Some(Kind::Locked) if args.yes => able.push(operand.clone()),
                _ => refused.push(error),
            }
        }
    }
    Ok((able, refused))
}

fn destroy(
    pool: &Pool,
    operands: &[Operand],
    recursive: bool,
    mode: Mode,
) -> Result<Outcome<Vec<String>>> {
    if !recursive {
        return destroy::environments(pool, operands, mode);
    }
    let mut nodes: Vec<NodeName> = Vec::new();
    for operand in operands {
        if operand.env.is_some() {
            return Err(Failure::usage(format!(
                "-r destroys nodes, and {operand} is an environment"
            ))
            .hint(format!("netbe destroy {operand}"))
            .into());
        }
        nodes.push(operand.node.clone());
    }
    destroy::nodes(pool, &nodes, mode)
}

/// Returns the step that names the space to be freed; prints a warning instead if it cannot be measured.
pub(super) fn freed(
    session: &Session,
    pool: &Pool,
    of: impl FnOnce(&Space) -> u64,
) -> Option<String> {
    let space = match Space::measure(pool) {
        Ok(space) => space,
        Err(e) => {
            let why = format!("cannot measure how much space will be freed: {e:#}");
            session.warnings(&[why]);
            return None;
        }
    };
    session.warnings(&space.unread);
    let bytes = of(&space);
    Some(format!(
        "free {} ({bytes} bytes)",
        crate::terminal::bytes(bytes)
    ))
}

fn confirmed(steps: &[String]) -> Result<()> {
    let no = |why: &str| {
        Err(Failure::refused(format!("nothing was destroyed: {why}"))
            .hint("-y destroys without asking")
            .into())
    };
    match confirm::ask(steps)? {
        Ok(()) => Ok(()),
        Err(why) => no(why),
    }
}
