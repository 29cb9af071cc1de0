//! Changing properties: `set`, and the properties of a new node.
//!
//! Checks conflicts with other nodes, stores the value, and publishes. Existing environments keep their kernel command
//! line, since a running environment is never written.

mod loss;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::network_names::refuse_shared_names;
use super::plan::Plan;
use super::{Held, Mode, Outcome, activate};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::pool::properties::{self, Property, Source};
use crate::pool::record::{NodeRecord, PoolRecord};
use crate::pool::{Node, NodeName, Pool, PoolLock};
use crate::publish::{self, Published, exports, server};

/// Properties that are read when an environment is made, not afterwards.
const IN_BOOT_FILES: &[&str] = &[
    "server",
    "ip",
    "loader",
    "root",
    "nfs.version",
    "nfs.options",
    "cmdline",
];

/// The result of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// `name=value`, as stored.
    pub set: Vec<String>,
    /// Whether existing environments keep the old value.
    pub needs_new_environment: bool,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

/// Sets properties of a node, or without one, of the pool; an empty value removes the setting.
///
/// # Errors
/// Without `force` also a refusal where a machine that may be running would lose its root.
pub fn set(
    pool: &Pool,
    node: Option<&NodeName>,
    assignments: &[(String, String)],
    force: bool,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    let values = normalised(assignments, node.is_none())?;
    match node {
        Some(name) => set_on_node(pool, name, &values, force, mode),
        None => set_on_pool(pool, &values, force, mode),
    }
}

/// Returns the record of a new node with these properties.
pub fn new_node_record(pool: &Pool, assignments: &[(String, String)]) -> Result<NodeRecord> {
    let mut record = NodeRecord::new(false);
    let values = normalised(assignments, false)?;
    apply(&mut record.properties, &values, "the node");
    refuse_shared_names(pool, None, &record)?;
    Ok(record)
}

fn normalised(assignments: &[(String, String)], for_pool: bool) -> Result<Vec<(String, String)>> {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, value) in assignments {
        let property = properties::find(name)?;
        if for_pool && !property.pool_wide {
            return Err(
                Failure::usage(format!("{name} is set on a node, not on the pool"))
                    .hint(format!("netbe set {name}={value} NODE"))
                    .into(),
            );
        }
        if !for_pool && !property.is_of_nodes() {
            return Err(
                Failure::usage(format!("{name} is set on the pool, not on a node"))
                    .hint(format!("netbe set {name}={value}"))
                    .into(),
            );
        }
        let value = property.normalise(value)?;
        // Several --mac make one property.
        match values.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) if name == "mac" && !value.is_empty() => {
                *old = property.normalise(&format!("{old},{value}"))?;
            }
            _ => values.push((name.clone(), value)),
        }
    }
    Ok(values)
}

fn set_on_node(
    pool: &Pool,
    name: &NodeName,
    values: &[(String, String)],
    force: bool,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    pool.node(name)?;
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    // Rewriting it would lose its properties, or fields of a newer netbe.
    node.refuse_lost()?;
    let mut changed = node.clone();
    let sentences = apply(&mut changed.record.properties, values, name.as_str());
    if node.is_template()
        && let Some((key, _)) = values
            .iter()
            .find(|(k, v)| ["mac", "serial"].contains(&k.as_str()) && !v.is_empty())
    {
        return Err(Failure::refused(format!(
            "{name} is a template: no machine boots it, so it has no {key}"
        ))
        .hint(format!("netbe create NODE --from {name}"))
        .into());
    }
    refuse_shared_names(pool, Some(name), &changed.record)?;
    if !force {
        let anyway = anyway(values, Some(name));
        loss::refuse((pool, &node), (pool, &changed), &anyway)?;
    }
    let mut plan = Plan::new();
    plan.steps(sentences, |held: &mut Held| {
        // Again, now that no other node can be given the same.
        refuse_shared_names(pool, Some(name), &changed.record)?;
        held.warnings
            .extend(loss::warning((pool, &node), (pool, &changed)));
        held.warnings.extend(loses_handles(pool, &node, &changed));
        // Before a name leads to it.
        if changed.is_offered()
            && let Some(active) = node.active_if_any()?
        {
            activate::mark_served(held.lock, &changed, &active, None, None)?;
            subvolume::sync(pool.root()).context("making durable what will be exported")?;
        }
        node.store(held.lock, &changed.record)
    });
    plan.step("publish", |held| {
        held.warnings.extend(republish(pool, &held.shared)?);
        Ok(())
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| told(values, held.warnings)))
}

/// Returns the warning that the server does not accept the handles of a running machine any more.
fn loses_handles(pool: &Pool, before: &Node, after: &Node) -> Option<String> {
    let checks = |node| publish::exports::checks_subtrees(pool, node);
    let is_new = before.is_offered() && !checks(before) && checks(after);
    is_new.then(|| {
        format!(
            "nfs.subtree-check takes full effect on {} at its next boot: files that it has open now fail with \
             ESTALE",
            after.name
        )
    })
}

/// Returns the command that makes a change whatever is lost.
fn anyway(values: &[(String, String)], node: Option<&NodeName>) -> String {
    let values = values.iter().map(|(key, value)| format!("{key}={value} "));
    let node = node.map_or("", NodeName::as_str);
    format!("netbe set --force {}{node}", values.collect::<String>())
        .trim_end()
        .to_string()
}

fn set_on_pool(
    pool: &Pool,
    values: &[(String, String)],
    force: bool,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    let shared = mode.unless_dry(|| pool.lock(mode.wait))?;
    let mut record: PoolRecord = pool.again()?.record().clone();
    let sentences = apply(&mut record.properties, values, "the pool");
    let changed = pool.with_record(&record);
    let mut lost = Vec::new();
    for node in pool.nodes()? {
        let (before, after) = ((pool, &node), (&changed, &node));
        if !force {
            loss::refuse(before, after, &anyway(values, None))?;
        }
        lost.extend(loss::warning(before, after));
    }
    let mut plan = Plan::new();
    plan.steps(sentences, |(shared, _): &mut (PoolLock, Vec<String>)| {
        pool.store(shared, &record)
    });
    plan.step("publish", |(shared, warnings)| {
        *warnings = lost;
        warnings.extend(republish(&pool.again()?, shared)?);
        Ok(())
    });
    let done = plan.carry_out(shared.map(|shared| (shared, Vec::new())))?;
    Ok(done.map(|(_, warnings)| told(values, warnings)))
}

fn republish(pool: &Pool, shared: &PoolLock) -> Result<Vec<String>> {
    let Published { warnings, .. } = publish::everything(pool, Some(shared))
        .context("the property is set, but not published; netbe publish")?;
    Ok(warnings)
}

fn told(values: &[(String, String)], warnings: Vec<String>) -> Changed {
    Changed {
        set: values.iter().map(|(k, v)| format!("{k}={v}")).collect(),
        needs_new_environment: values
            .iter()
            .any(|(k, _)| IN_BOOT_FILES.contains(&k.as_str())),
        warnings,
    }
}

/// Changes properties; returns the steps that are.
fn apply(
    properties: &mut BTreeMap<String, String>,
    values: &[(String, String)],
    of: &str,
) -> Vec<String> {
    let change = |(key, value): &(String, String)| match value.is_empty() {
        true => {
            properties.remove(key);
            format!("take {key} away from {of}")
        }
        false => {
            properties.insert(key.clone(), value.clone());
            format!("set {key}={value} on {of}")
        }
    };
    values.iter().map(change).collect()
}

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

/// Returns a property, or `all`, of a node; without one, of the pool and all nodes.
///
/// # Errors
/// `Usage` for an unknown property, `NotFound` for a node.
pub fn get(pool: &Pool, property: &str, node: Option<&NodeName>) -> Result<Vec<Got>> {
    let wanted: Vec<&Property> = match property {
        "all" => properties::ALL.iter().collect(),
        name => vec![properties::find(name)?],
    };
    let nodes = match node {
        Some(name) => vec![Some(pool.node(name)?)],
        None => std::iter::once(None)
            .chain(pool.nodes()?.into_iter().map(Some))
            .collect(),
    };
    Ok(nodes
        .iter()
        .flat_map(|node| wanted.iter().filter_map(|p| one(pool, node.as_ref(), p)))
        .collect())
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
        "dhcp" | "ip" | "root" | "keep" => Some(property.default.to_string()),
        _ => None,
    }
}
