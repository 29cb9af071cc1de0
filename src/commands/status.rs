//! `netbe status`

use anyhow::Result;

use super::Session;
use crate::cli::Status;
use crate::lifecycle::state;
use crate::output::{json, nodes};

/// Shows what nodes boot and run, and what is wrong.
pub fn run(session: &Session, args: &Status) -> Result<u8> {
    let states = state::status(&session.pool()?, &args.nodes)?;
    let text = if args.json {
        json::list("nodes", &states)?
    } else if args.nodes.is_empty() {
        nodes::draw(&states, session.screen.colour)
    } else {
        nodes::draw_each(&states)
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
