//! `netbe set`, `netbe get`

use anyhow::Result;
use serde::Serialize;

use super::Session;
use crate::cli::{Get, Set};
use crate::failure::Failure;
use crate::lifecycle::setting;
use crate::output::{self, json, table};
use crate::pool::properties::{self, Property, Source};
use crate::pool::{Node, NodeName, Pool};

/// Sets properties.
pub fn set(session: &Session, args: &Set) -> Result<u8> {
    let (assignments, node) = assignments(&args.words)?;
    let outcome = setting::set(
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

#[derive(Serialize)]
struct Row {
    node: Option<String>,
    property: &'static str,
    value: Option<String>,
    source: &'static str,
}

/// Prints properties.
pub fn get(session: &Session, args: &Get) -> Result<u8> {
    let pool = session.pool()?;
    let wanted: Vec<&Property> = match args.property.as_str() {
        "all" => properties::ALL.iter().collect(),
        name => vec![properties::find(name)?],
    };
    let nodes = match &args.node {
        Some(name) => vec![Some(pool.node(name)?)],
        None => std::iter::once(None)
            .chain(pool.nodes()?.into_iter().map(Some))
            .collect(),
    };
    let rows: Vec<Row> = nodes
        .iter()
        .flat_map(|node| wanted.iter().filter_map(|p| row(&pool, node.as_ref(), p)))
        .collect();
    let text = match (args.json, args.machine) {
        (true, _) => json::list("properties", &rows)?,
        (_, true) => table::tabbed(&cells(&rows, "")),
        _ => table::table(
            &["NODE", "PROPERTY", "VALUE", "SOURCE"],
            &cells(&rows, "-"),
            session.screen.colour,
        ),
    };
    session.screen.answer(&text)?;
    Ok(0)
}

fn row(pool: &Pool, node: Option<&Node>, property: &Property) -> Option<Row> {
    if (node.is_none() && !property.pool_wide) || (node.is_some() && !property.is_of_nodes()) {
        return None;
    }
    let set = properties::effective(property.name, node.map(|n| &n.record), pool.record());
    Some(Row {
        node: node.map(|n| n.name.to_string()),
        property: property.name,
        source: set.as_ref().map_or(Source::Default, |v| v.source).word(),
        value: set
            .map(|v| v.value)
            .or_else(|| default_value(pool, node, property)),
    })
}

/// Returns the default as it works out here, where that is more than a phrase.
fn default_value(pool: &Pool, node: Option<&Node>, property: &Property) -> Option<String> {
    match property.name {
        "server" => crate::publish::server::address(node.map(|n| &n.record), pool.record())
            .ok()
            .map(|a| a.to_string()),
        "clients" => node
            .and_then(|n| crate::publish::exports::clients(pool, n).ok())
            .map(|c| c.join(",")),
        "dhcp" | "ip" | "root" | "keep" => Some(property.default.to_string()),
        _ => None,
    }
}

fn cells(rows: &[Row], none: &str) -> Vec<Vec<String>> {
    let or_none = |text: Option<&String>| output::clean(text.map_or(none, String::as_str));
    rows.iter()
        .map(|r| {
            vec![
                or_none(r.node.as_ref()),
                r.property.to_string(),
                or_none(r.value.as_ref()),
                r.source.to_string(),
            ]
        })
        .collect()
}
