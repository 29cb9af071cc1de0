//! `netbe status`

use anyhow::Result;

use super::Session;
use crate::cli::Status;
use crate::lifecycle::state::{self, State};
use crate::output::{json, table};

/// Shows what nodes boot, and what is wrong.
pub fn run(session: &Session, args: &Status) -> Result<u8> {
    let states = state::status(&session.pool()?, &args.nodes)?;
    let text = match args.json {
        true => json::list("nodes", &states)?,
        false => {
            let heads = ["NODE", "ACTIVE", "BOOTED", "ADDRESS", "ASKS AS"];
            let rows: Vec<_> = states.iter().map(row).collect();
            table::table(&heads, &rows, session.screen.colour)
        }
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

fn row(state: &State) -> Vec<String> {
    let dash = || "-".to_string();
    let booted = match (&state.booted.known, state.booted.possible.as_slice()) {
        (Some(known), _) => known.clone(),
        (None, []) => dash(),
        (None, possible) => format!("? {}", possible.join(", ")),
    };
    let names = match (state.template, state.names.is_empty()) {
        (true, _) => "(template)".to_string(),
        (_, true) => dash(),
        _ => state.names.join(" "),
    };
    vec![
        state.node.clone(),
        state.active.clone().unwrap_or_else(dash),
        booted,
        if state.template {
            dash()
        } else {
            state.ip.clone()
        },
        names,
    ]
}
