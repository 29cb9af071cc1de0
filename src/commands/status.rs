//! `netbe status`

use anyhow::Result;

use super::Session;
use crate::cli::Status;
use crate::lifecycle::status;
use crate::output::{self, json};

/// Shows what nodes boot and run, and what is wrong.
pub fn run(session: &Session, args: &Status) -> Result<u8> {
    let states = status::status(&session.pool()?, &args.nodes)?;
    let text = if args.json {
        json::list("nodes", &states)?
    } else if args.nodes.is_empty() {
        output::status::draw(&states, session.screen.colour)
    } else {
        output::status::draw_each(&states)
    };
    session.screen.answer(&text)?;
    for state in &states {
        for problem in &state.problems {
            session
                .screen
                .warnings(&[format!("{}: {problem}", state.node)]);
        }
    }
    Ok(0)
}
