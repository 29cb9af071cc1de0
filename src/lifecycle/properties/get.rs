//! Reading properties: `get`.
//!
//! Reads only.

use anyhow::Result;
use serde::Serialize;

use crate::lifecycle::staged::machine;
use crate::pool::properties::{self, Property, Source};
use crate::pool::{Node, NodeName, Pool};
use crate::publish::{exports, server};

/// A property with its value.
#[derive(Debug, Clone, Serialize)]
pub struct Got {
    /// The node; `None` for the pool.
    pub node: Option<String>,
    /// The property.
    pub property: &'static str,
    /// Its value; empty if it is not set and has no default.
    pub value: Option<String>,
    /// The source of the value, in a word.
    pub source: &'static str,
}

/// Returns a property, or `all`, of these nodes; without any, of the pool and all nodes. Then the failures: `NotFound` for
/// a node that does not exist.
///
/// # Errors
/// `Usage` for an unknown property.
pub fn get(
    pool: &Pool,
    property: &str,
    names: &[NodeName],
) -> Result<(Vec<Got>, Vec<anyhow::Error>)> {
    let wanted: Vec<&Property> = match property {
        "all" => properties::ALL.iter().collect(),
        name => vec![properties::find(name)?],
    };
    let mut failures = Vec::new();
    let nodes: Vec<Option<Node>> = match names.is_empty() {
        true => std::iter::once(None)
            .chain(pool.nodes()?.into_iter().map(Some))
            .collect(),
        false => names
            .iter()
            .filter_map(|name| pool.node(name).map_err(|e| failures.push(e)).ok())
            .map(Some)
            .collect(),
    };
    let got = nodes
        .iter()
        .flat_map(|node| wanted.iter().filter_map(|p| one(pool, node.as_ref(), p)));
    Ok((got.collect(), failures))
}

fn one(pool: &Pool, node: Option<&Node>, property: &Property) -> Option<Got> {
    if (node.is_none() && !property.pool_wide) || (node.is_some() && !property.is_of_nodes()) {
        return None;
    }
    let set = properties::effective(property.name, node.map(|n| &n.record), pool.record());
    Some(Got {
        node: node.map(|n| n.name.to_string()),
        property: property.name,
        source: set.as_ref().map_or(Source::Default, |v| v.source).word(),
        value: set
            .map(|v| v.value)
            .or_else(|| default_value(pool, node, property)),
    })
}

/// Returns the computed default, if it can be computed.
fn default_value(pool: &Pool, node: Option<&Node>, property: &Property) -> Option<String> {
    match property.name {
        "server" => server::address(node.map(|n| &n.record), pool.record())
            .ok()
            .map(|a| a.to_string()),
        "clients" => node
            .and_then(|n| exports::clients(pool, n).ok())
            .map(|c| c.join(",")),
        "model" => node
            .and_then(|n| machine(pool, &n.name, &n.record))
            .map(|machine| machine.model.name().to_string()),
        "dhcp" | "ip" | "root" | "keep" | "report" | "upgrade.sync" | "upgrade.network"
        | "nfs.subtree-check" => Some(property.default.to_string()),
        _ => None,
    }
}
