//! `netbe dedupe`

use anyhow::Result;

use super::Session;
use crate::cli::Dedupe;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::lifecycle::dedupe::{self, Shared};
use crate::output::progress::{Line, bytes};

/// Lets identical files share their space.
pub fn run(session: &Session, args: &Dedupe) -> Result<u8> {
    let pool = session.pool()?;
    let mut line = Line::new(session.screen.draws_progress());
    let shared = dedupe::dedupe(&pool, &args.nodes, &mut line, args.changing.into());
    drop(line);
    let shared = shared?;
    // Before what was done: the last line is the answer.
    let worst = session.failed(&shared.failures);
    if shared.stopped {
        // Where it was stopped before it shared anything there is nothing to tell.
        let why = interrupt::asked().map_or(String::new(), |signal| format!(" by {signal}"));
        return Err(Failure::failed(match args.changing.dry_run {
            true => format!("stopped{why}"),
            false => format!(
                "stopped{why}; until then {} shared their space again, and {} came back",
                files(shared.total()),
                bytes(shared.gained)
            ),
        })
        .into());
    }
    match args.changing.dry_run {
        true => session.screen.plan(&steps(&shared))?,
        false => session.screen.sentence(&sentence(&shared))?,
    }
    Ok(worst)
}

fn steps(shared: &Shared) -> Vec<String> {
    let one = |(env, count): (&String, &usize)| format!("share {} of {env}", files(*count));
    let mut steps: Vec<String> = shared.files.iter().map(one).collect();
    if !steps.is_empty() {
        steps.push(format!("gain {}", bytes(shared.gained)));
    }
    steps
}

fn sentence(shared: &Shared) -> String {
    let all = match shared.environments {
        1 => "1 environment".to_string(),
        n => format!("{n} environments"),
    };
    match shared.total() {
        0 => format!("Nothing to share: looked through {all}."),
        total => format!(
            "Shared the space of {} in {} of {all}: {} came back.",
            files(total),
            shared.files.len(),
            bytes(shared.gained)
        ),
    }
}

fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_string(),
        n => format!("{n} files"),
    }
}
