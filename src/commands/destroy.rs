//! `netbe destroy`

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::session::Session;
use super::{complete, confirm};
use crate::failure::Failure;
use crate::lifecycle::space::Space;
use crate::lifecycle::{Mode, Outcome, destroy};
use crate::output::progress;
use crate::pool::{NodeName, Operand, Pool};

/// Destroy environments, or a node with all of them
///
/// Refuses an environment that is active, booted or may be, pending, pinned, mounted or in use, and names
/// the reason; then none of those named is destroyed. -r takes whole nodes, under the same rules, save that
/// active and pinned are no reason when the node is not booted. It returns when the deletion is durable;
/// space comes back in the background.
///
/// May be booted is what machines were led to, or of which something was fetched, by whomever, until the node is known to
/// have left it: see netbe-status. What the NFS server has in use is refused whatever else is known; what the node left
/// has an entry for up to half an hour, so where it is known to have left, the NFS server is made to forget, and what
/// does not come back within five seconds is not in use. It is looked at again just before anything is destroyed.
///
/// With -n, and before it asks, it says how much that is: what nothing but the environments named
/// refers to, counted as netbe list --space counts UNIQUE.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe destroy nog/old nog/older
  netbe destroy -n nog/old nog/older
  netbe destroy -r werda")]
pub struct Destroy {
    /// The environments; with -r the nodes
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
    if !mode.dry_run && !args.yes {
        // The refusals first: nobody is asked about what is not going to be done.
        let plan = destroy(
            &pool,
            args,
            Mode {
                dry_run: true,
                ..mode
            },
        )?;
        if let Outcome::Planned(mut steps) = plan {
            if std::io::stdin().is_terminal() {
                steps.extend(freed(session, &pool, |space| bytes_freed(space, args)));
            }
            confirmed(&steps)?;
        }
    }
    let mut outcome = destroy(&pool, args, mode)?;
    if let Outcome::Planned(steps) = &mut outcome {
        steps.extend(freed(session, &pool, |space| bytes_freed(space, args)));
    }
    if let Some(gone) = session.done(outcome)? {
        session
            .screen
            .sentence(&format!("Destroyed {}.", gone.join(", ")))?;
    }
    Ok(0)
}

fn destroy(pool: &Pool, args: &Destroy, mode: Mode) -> Result<Outcome<Vec<String>>> {
    if !args.recursive {
        return destroy::environments(pool, &args.operands, mode);
    }
    let mut nodes: Vec<NodeName> = Vec::new();
    for operand in &args.operands {
        if operand.env.is_some() {
            return Err(
                Failure::usage(format!("-r takes nodes, and {operand} is an environment"))
                    .hint(format!("netbe destroy {operand}"))
                    .into(),
            );
        }
        nodes.push(operand.node.clone());
    }
    destroy::nodes(pool, &nodes, mode)
}

fn bytes_freed(space: &Space, args: &Destroy) -> u64 {
    match args.recursive {
        true => space.of_nodes(&args.operands),
        false => space.of_environments(&args.operands),
    }
}

/// Returns the step that says what comes back; a warning instead where that cannot be told.
pub(super) fn freed(
    session: &Session,
    pool: &Pool,
    of: impl FnOnce(&Space) -> u64,
) -> Option<String> {
    let space = match Space::measure(pool) {
        Ok(space) => space,
        Err(e) => {
            let why = format!("what comes back is not known: {e:#}");
            session.screen.warnings(&[why]);
            return None;
        }
    };
    session.screen.warnings(&space.unread);
    let bytes = of(&space);
    Some(format!("free {} ({bytes} bytes)", progress::bytes(bytes)))
}

fn confirmed(steps: &[String]) -> Result<()> {
    let no = |why: &str| {
        Err(Failure::refused(format!("nothing was destroyed: {why}"))
            .hint("-y answers yes")
            .into())
    };
    match confirm::ask(steps)? {
        Ok(()) => Ok(()),
        Err(why) => no(why),
    }
}
