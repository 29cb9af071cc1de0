//! Reading properties: `get`.
//!
//! Reads only.

use anyhow::Result;
use serde::Serialize;

use crate::boot;
use crate::fs::rooted::Tree;
use crate::lifecycle::local;
use crate::packages::Distribution;
use crate::pool::properties::{self, Property, Source};
use crate::pool::{Node, NodeName, Pool};
use crate::publish::{exports, server};
use crate::staged::machine;

/// What stands for no default.
const NONE: &str = "-";

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
/// a node that does not exist, and a refusal for one whose record is lost.
///
/// # Errors
/// `Usage` for an unknown property.
pub fn get(
    pool: &Pool,
    property: &str,
    names: &[NodeName],
) -> Result<(Vec<Got>, Vec<anyhow::Error>)> {
    let wanted: Vec<&Property> = match property {
        "all" => properties::ALL
            .iter()
            .filter(|p| local::has(pool, p.name))
            .collect(),
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
    // What is set on them is not known, and no default is in effect in its place.
    let lost = nodes.iter().flatten().map(Node::refuse_lost);
    failures.extend(lost.filter_map(Result::err));
    let is_known = |node: &&Option<Node>| !node.as_ref().is_some_and(|node| node.lost);
    let got = nodes
        .iter()
        .filter(is_known)
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

/// Returns the value of an unset property in the active environment of a node.
fn of_active(pool: &Pool, node: &Node, name: &str) -> Option<String> {
    let env = node.active_environment().ok()?;
    let (root, boot) = (Tree::open(&env.root()).ok()?, Tree::open(&env.boot()).ok()?);
    let set = |name: &str| node.property(pool, name);
    let loader = set("loader").and_then(|set| set.parse().ok());
    match name {
        "loader" => Some(boot::recognise(&boot)?.to_string()),
        "nfs.version" if set("root").is_none_or(|root| root == "nfs") => {
            // A version in nfs.options takes precedence.
            let options = set("nfs.options").unwrap_or_default();
            let serial = set("serial");
            let version = || boot::nfs_version(&boot, &root, loader, serial.as_deref());
            (!options.contains("vers=")).then(|| version().to_string())
        }
        "upgrade.command" => {
            let distribution = Distribution::read(&root).ok()?;
            distribution.in_short().map(str::to_string)
        }
        _ => None,
    }
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
        "loader" | "nfs.version" | "upgrade.command" => of_active(pool, node?, property.name),
        // Where it is a value, and not words on what it depends on.
        _ => {
            let value = property.normalise(property.default).ok()?;
            (property.default != NONE && value == property.default).then_some(value)
        }
    }
}
