//! `netbe set`, `netbe get`

use anyhow::Result;

use super::Session;
use crate::cli::{Get, Set};
use crate::failure::Failure;
use crate::lifecycle::{getting, properties};
use crate::output::{self, json};
use crate::pool::NodeName;

/// Sets properties.
pub fn set(session: &Session, args: &Set) -> Result<u8> {
    let (assignments, node) = assignments(&args.words)?;
    let outcome = properties::set(
        &session.pool()?,
        node.as_ref(),
        &assignments,
        args.changing.into(),
    )?;
    if let Some(done) = session.done(outcome)? {
        let of = node.as_ref().map_or("the pool", NodeName::as_str);
        session
            .screen
            .sentence(&format!("Set {} on {of}.", done.set.join(" ")))?;
        if done.needs_new_environment {
            session.screen.notes(&[format!(
                "environments keep the command line they were made with; with the new: netbe create {} -a",
                node.as_ref().map_or("NODE", NodeName::as_str)
            )]);
        }
        session.screen.warnings(&done.warnings);
    }
    Ok(0)
}

/// Properties with their values, in the order given.
type Assignments = Vec<(String, String)>;

fn assignments(words: &[String]) -> Result<(Assignments, Option<NodeName>)> {
    let (last, before) = match words.split_last() {
        Some((last, before)) if !last.contains('=') => (Some(last), before),
        _ => (None, words),
    };
    let node = last
        .map(|n| {
            n.parse::<NodeName>()
                .map_err(|e| Failure::usage(e.to_string()))
        })
        .transpose()?;
    let mut found = Vec::new();
    for word in before {
        let Some((name, value)) = word.split_once('=') else {
            return Err(Failure::usage(format!("{word:?} is no PROPERTY=VALUE"))
                .hint("netbe set PROPERTY=VALUE… [NODE]")
                .into());
        };
        found.push((name.to_string(), value.to_string()));
    }
    if found.is_empty() {
        return Err(Failure::usage("nothing to set")
            .hint("netbe set PROPERTY=VALUE… [NODE]")
            .into());
    }
    Ok((found, node))
}

/// Prints properties.
pub fn get(session: &Session, args: &Get) -> Result<u8> {
    let all = getting::get(&session.pool()?, &args.property, args.node.as_ref())?;
    let text = match (args.json, args.machine) {
        (true, _) => json::list("properties", &all)?,
        (_, true) => output::properties::tabbed(&all),
        _ => output::properties::draw(&all, session.screen.colour),
    };
    session.screen.answer(&text)?;
    Ok(0)
}
