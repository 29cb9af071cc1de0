//! `netbe upgrade`

use anyhow::Result;

use super::{Session, activate, upgrade_many};
use crate::cli::Upgrade;
use crate::lifecycle::trial::{self, How};
use crate::lifecycle::upgrade::{self, Request, Upgraded};
use crate::lifecycle::{Mode, Outcome};
use crate::output::{changes, progress::bytes};
use crate::pool::{Operand, Pool};

/// Upgrades copies of environments: one, or several side by side.
pub fn run(session: &Session, args: &Upgrade) -> Result<u8> {
    if args.all || args.node.len() > 1 {
        return upgrade_many::run(session, args);
    }
    let source = match (&args.source, args.node.first()) {
        (Some(source), _) => source.clone(),
        (None, Some(node)) => Operand {
            node: node.clone(),
            env: None,
        },
        // The command line asks for one of the two.
        (None, None) => return Ok(2),
    };
    if args.worker {
        return upgrade_many::worker(session, args, source);
    }
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let how = How::asked(args.once, args.trial);
    let echo = session.screen.draws_progress();
    let outcome = perform(&pool, args, source, echo)?;
    match session.done(outcome)? {
        None => {}
        Some(Upgraded::NothingToDo(source)) => {
            session.screen.sentence(&format!(
                "Nothing to upgrade in {source}; no new environment."
            ))?;
        }
        Some(Upgraded::New {
            name,
            origin,
            changes: changed,
            shared,
            active,
            would_boot,
            log,
            notes,
            warnings,
        }) => {
            if let Some(changed) = &changed {
                session
                    .screen
                    .answer(&changes::draw(changed, session.screen.colour))?;
            }
            let node = name.split('/').next().unwrap_or_default();
            let next = match (active, would_boot) {
                (true, _) => format!(" {node} boots it next."),
                (false, false) => " It would not boot as it is.".to_string(),
                (false, true) if how.is_some() => String::new(),
                (false, true) => format!(" To boot it next: netbe activate {name}"),
            };
            let space = shared.map_or(String::new(), |shared| {
                format!(
                    ": {} changed, {} shared again",
                    bytes(shared.changed),
                    bytes(shared.shared_again)
                )
            });
            session.screen.sentence(&format!(
                "Created {name}, upgraded from {origin}{space}.{next}"
            ))?;
            session
                .screen
                .notes(&[format!("everything it said: {}", log.display())]);
            session.screen.notes(&notes);
            session.screen.warnings(&warnings);
            if let Some(how) = how {
                let new = name.parse()?;
                let begun = trial::begin(&pool, Some(&new), how, false, mode)?;
                activate::begun(session, begun, how)?;
            }
        }
    }
    Ok(0)
}

/// Upgrades one environment as the command line says.
pub(super) fn perform(
    pool: &Pool,
    args: &Upgrade,
    source: Operand,
    echo: bool,
) -> Result<Outcome<Upgraded>> {
    let how = How::asked(args.once, args.trial);
    if how.is_some() {
        trial::refuse_nobody(&pool.node(&source.node)?)?;
    }
    let request = Request {
        source,
        name: args.name.clone(),
        command: args.program.clone(),
        activate: args.activate,
        boots_next: args.activate || how.is_some(),
        keep: args.keep,
        description: args.said.description.clone(),
        echo,
        beside_others: args.worker,
    };
    upgrade::upgrade(pool, &request, args.changing.into())
}
