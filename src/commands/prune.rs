//! `netbe prune`

use anyhow::Result;

use super::Session;
use crate::cli::Prune;
use crate::failure::Failure;
use crate::lifecycle::Mode;
use crate::lifecycle::pruning::{self, Request};

/// Destroys the oldest environments of nodes.
pub fn run(session: &Session, args: &Prune) -> Result<u8> {
    let mode: Mode = args.changing.into();
    let request = Request {
        keep: args.keep,
        older_than: args.older_than,
    };
    let pruned = pruning::prune(&session.pool()?, &args.nodes, request, mode)?;
    // Before what was done, which may be hard to see among many: the last line is the answer.
    let worst = tell(session, &pruned.failures);
    if mode.dry_run {
        session.screen.notes(&pruned.stays);
        let steps: Vec<String> = pruned.gone.iter().map(|e| format!("destroy {e}")).collect();
        session.screen.plan(&steps)?;
        return Ok(worst);
    }
    for why in &pruned.stays {
        session.screen.detail(why);
    }
    if !pruned.gone.is_empty() || pruned.failures.is_empty() {
        session
            .screen
            .sentence(&match (pruned.gone.len(), pruned.stays.len()) {
                (0, 0) => "Nothing to prune.".to_string(),
                (0, stay) => {
                    format!("Nothing to prune: {stay} beyond those to keep stay; -v says why.")
                }
                _ => format!("Destroyed {}.", pruned.gone.join(", ")),
            })?;
    }
    Ok(worst)
}

/// Tells of what failed; returns the exit status of the worst.
fn tell(session: &Session, failures: &[anyhow::Error]) -> u8 {
    let mut worst = 0;
    for error in failures {
        let failure = error.downcast_ref::<Failure>();
        session
            .screen
            .failed(error, failure.and_then(|f| f.hint.as_deref()));
        worst = worst.max(failure.map_or(1, Failure::status));
    }
    worst
}
