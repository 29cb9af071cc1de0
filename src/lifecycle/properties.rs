//! Changing properties: `set`, and the properties of a new node.
//!
//! Checks conflicts with other nodes, stores the value, and publishes. Existing environments keep their boot files, except
//! with `--existing`.

mod access;
mod data_mounts;
pub(in crate::lifecycle) mod existing;
mod foreseen;
mod get;
mod iscsi;
pub mod kept_clients;
mod loss;
mod machines;
mod on_node;
mod on_pool;
mod subject;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::addresses::{self, Misfit};
use super::local;
use super::network_names::refuse_shared_names;
use super::on_card;
use super::{Mode, Outcome};
use crate::boot::Ip;
use crate::failure::Failure;
use crate::pool::properties;
use crate::pool::record::NodeRecord;
use crate::pool::{EnvId, Node, NodeName, Pool, PoolLock};
use crate::publish::{self, Published};

pub(super) use data_mounts::{mounting, write as mount_data};
pub(super) use existing::{write as write_boot_files, writing};
pub use foreseen::foreseen;
pub use get::{Got, get};

/// Properties that are read when an environment is made, not afterwards.
const IN_BOOT_FILES: &[&str] = &[
    "server",
    "ip",
    "loader",
    "root",
    "access",
    "ssh-keys",
    "nfs.version",
    "nfs.options",
    "cmdline",
    "report",
];

/// What is to be set.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Properties with their values, an empty one to remove the setting.
    pub assignments: &'a [(String, String)],
    /// Whether to set it even if a machine that may be running loses its root or boot files.
    pub force: bool,
    /// Whether to rewrite the boot files of existing environments.
    pub existing: bool,
}

/// The result of a change.
#[derive(Debug, Default)]
pub struct Changed {
    /// `name=value`, as stored.
    pub set: Vec<String>,
    /// Whether existing environments keep the old value.
    pub is_for_new: bool,
    /// The existing environments whose boot files were rewritten.
    pub brought: Vec<EnvId>,
    /// The number of environments whose fstab was changed for the data of their node alone.
    pub fstabs: usize,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
    /// The failures: environments whose boot files were not rewritten.
    pub failures: Vec<anyhow::Error>,
}

/// Sets properties of a node, or without one, of the pool.
///
/// # Errors
/// Without `force` also a refusal where a machine that may be running would lose its root.
pub fn set(
    pool: &Pool,
    node: Option<&NodeName>,
    request: Request<'_>,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    let values = normalised(request.assignments, node.is_none())?;
    local::refuse_properties(pool, &values)?;
    let set = match node {
        Some(name) => on_node::set(pool, name, &values, request, mode)?,
        None => on_pool::set(pool, &values, request, mode)?,
    };
    let Some(reach) = foreseen::reach(node, request, &values) else {
        return Ok(set);
    };
    let (now, left_out) = match mode.dry_run {
        true => {
            let (changed, _, after) = foreseen::as_set(pool, node, &values, Some(reach))?;
            let left_out = existing::foreseen(&changed, &after, reach)?.0;
            (changed, left_out)
        }
        false => (pool.again()?, Vec::new()),
    };
    let nodes = match node {
        Some(name) => vec![name.clone()],
        None => now.nodes()?.into_iter().map(|node| node.name).collect(),
    };
    Ok(
        match (
            set,
            existing::bring_along(&now, &nodes, reach, &left_out, mode)?,
        ) {
            (Outcome::Done(mut set), Outcome::Done(brought)) => {
                set.is_for_new &= !request.existing;
                set.brought = brought.done;
                set.fstabs = brought.fstabs;
                set.notes.extend(brought.notes);
                set.warnings.extend(brought.warnings);
                if request.existing {
                    set.warnings.extend(on_card::warnings(&now, node)?);
                }
                set.failures = brought.failures;
                Outcome::Done(set)
            }
            (Outcome::Planned(mut steps), Outcome::Planned(more)) => {
                steps.extend(more);
                Outcome::Planned(steps)
            }
            (set, _) => set,
        },
    )
}

/// Has every environment of a node mount the data that the node's record lists; also returns the failures of those that do
/// not mount it, or would not.
pub(super) fn mount_data_in_all(
    pool: &Pool,
    node: &Node,
    mode: Mode,
) -> Result<(Outcome<()>, Vec<anyhow::Error>)> {
    let reach = existing::Reach {
        data_of_nodes: false,
        boot_files: false,
    };
    let (left_out, mut failures) = match mode.dry_run {
        true => existing::foreseen(pool, std::slice::from_ref(node), reach)?,
        false => (Vec::new(), Vec::new()),
    };
    let name = std::slice::from_ref(&node.name);
    let brought = existing::bring_along(pool, name, reach, &left_out, mode)?;
    let brought = brought.map(|brought| failures.extend(brought.failures));
    Ok((brought, failures))
}

/// Returns the record of a new node with these properties.
pub fn new_node_record(pool: &Pool, assignments: &[(String, String)]) -> Result<NodeRecord> {
    let mut record = NodeRecord::new(false);
    let values = normalised(assignments, false)?;
    apply(&mut record.properties, &values, "the node");
    refuse_shared_names(pool, None, &record)?;
    access::refuse(pool, &record, subject::Subject::New)?;
    iscsi::refuse(pool, &record, subject::Subject::New)?;
    Ok(record)
}

fn normalised(assignments: &[(String, String)], for_pool: bool) -> Result<Vec<(String, String)>> {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, value) in assignments {
        let property = properties::find(name)?;
        if for_pool && !property.pool_wide {
            return Err(Failure::usage(format!(
                "{name} is set on a node, not on the pool: name it last"
            ))
            .hint("netbe status")
            .into());
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

/// Returns whether these change the data of nodes: then existing environments are changed too, as with `--existing`.
fn sets_data(values: &[(String, String)]) -> bool {
    values.iter().any(|(key, _)| key == "data")
}

/// Returns the warnings about addresses that do not fit once these values are set.
fn misfits(pool: &Pool, node: Option<&Node>, values: &[(String, String)]) -> Result<Vec<String>> {
    let sets = |key: &str| values.iter().any(|(set, _)| set == key);
    let mut found = Vec::new();
    if sets("server") {
        found.extend(addresses::of_server(pool, node));
    }
    if sets("clients") || sets("ip") {
        let all = pool.nodes()?;
        for node in node.map_or(all.iter().collect(), |node| vec![node]) {
            found.extend(addresses::of_clients(pool, node)?);
        }
    }
    Ok(found.iter().map(Misfit::sentence).collect())
}

/// Returns the command that makes the change with `--force`.
fn anyway(values: &[(String, String)], node: Option<&NodeName>) -> String {
    let values = values.iter().map(|(key, value)| format!("{key}={value} "));
    let node = node.map_or("", NodeName::as_str);
    format!("netbe set --force {}{node}", values.collect::<String>())
        .trim_end()
        .to_string()
}

/// Publishes everything; fails if what was set is a node's, and that is left as it was.
fn republish(pool: &Pool, shared: &PoolLock, of: Option<&NodeName>) -> Result<Vec<String>> {
    const NOT_PUBLISHED: &str = "the property is set, but not published; netbe publish";
    let Published { warnings, left, .. } =
        publish::everything(pool, Some(shared)).context(NOT_PUBLISHED)?;
    if let Some((_, why)) = left.into_iter().find(|(node, _)| Some(node) == of) {
        return Err(anyhow::Error::msg(why).context(NOT_PUBLISHED));
    }
    Ok(warnings)
}

fn summary(values: &[(String, String)], is_for_new: bool, warnings: Vec<String>) -> Changed {
    Changed {
        set: values.iter().map(|(k, v)| format!("{k}={v}")).collect(),
        is_for_new,
        warnings,
        ..Changed::default()
    }
}

/// Returns the note that existing environments of a node, or of the pool, keep what they have.
pub fn for_new(node: Option<&NodeName>) -> String {
    let node = node.map(|node| format!(" {node}"));
    format!(
        "existing environments keep the boot files they have; to bring all of them along, for the next boot: netbe set \
         --existing{}",
        node.unwrap_or_default()
    )
}

/// Returns whether a change of properties changes what is in boot files, by the values that hold before and after.
fn reaches_boot_files(
    before: impl Fn(&str) -> Option<String>,
    after: impl Fn(&str) -> Option<String>,
) -> bool {
    let argument = |key: &str, value: Option<String>| match (key, value) {
        // An address that a DHCP server reserves is not in boot files.
        ("ip", value) => {
            let ip = value.map_or(Ok(Ip::Dhcp), |value| value.parse());
            ip.ok().map(|ip| ip.argument(""))
        }
        (_, value) => value,
    };
    let differs = |key: &&str| argument(key, before(key)) != argument(key, after(key));
    IN_BOOT_FILES.iter().any(differs)
}

/// Changes properties; returns the changes as steps.
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
