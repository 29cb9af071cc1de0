//! `netbe upgrade`

use anyhow::Result;

use super::{Session, activate};
use crate::cli::Upgrade;
use crate::lifecycle::Mode;
use crate::lifecycle::trial::{self, How};
use crate::lifecycle::upgrade::{self, Request, Upgraded};
use crate::output::{clean, table};
use crate::packages::Changes;
use crate::pool::Operand;

/// Upgrades a copy of an environment.
pub fn run(session: &Session, args: Upgrade) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let how = How::asked(args.once, args.trial);
    let request = Request {
        // One of the two is there: the command line asks for it.
        source: match (args.source, args.node) {
            (Some(source), _) => source,
            (None, Some(node)) => Operand { node, env: None },
            (None, None) => return Ok(2),
        },
        name: args.name,
        command: args.program,
        activate: args.activate,
        keep: args.keep,
        description: args.said.description,
        echo: session.screen.draws_progress(),
    };
    if how.is_some() {
        trial::refuse_nobody(&pool.node(&request.source.node)?)?;
    }
    let outcome = upgrade::upgrade(&pool, &request, mode)?;
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
            changes,
            active,
            log,
            notes,
            warnings,
        }) => {
            if let Some(changes) = &changes {
                session
                    .screen
                    .answer(&changes_table(changes, session.screen.colour))?;
            }
            let node = name.split('/').next().unwrap_or_default();
            let next = match active {
                true => format!(" {node} boots it next."),
                false if how.is_some() => String::new(),
                false => format!(" To boot it next: netbe activate {name}"),
            };
            session
                .screen
                .sentence(&format!("Created {name}, upgraded from {origin}.{next}"))?;
            session.screen.detail(&format!(
                "everything the upgrade said is in {}",
                log.display()
            ));
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

fn changes_table(changes: &Changes, colour: bool) -> String {
    let row = |package: &str, old: &str, new: &str| vec![clean(package), clean(old), clean(new)];
    let mut rows = Vec::new();
    for (name, old, new) in changes.upgraded.iter().chain(&changes.downgraded) {
        rows.push(row(name, old, new));
    }
    rows.extend(changes.added.iter().map(|(name, new)| row(name, "-", new)));
    rows.extend(
        changes
            .removed
            .iter()
            .map(|(name, old)| row(name, old, "-")),
    );
    match rows.is_empty() {
        true => String::new(),
        false => table::table(&["PACKAGE", "BEFORE", "AFTER"], &rows, colour),
    }
}
