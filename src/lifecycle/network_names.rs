//! The uniqueness of MAC addresses, serials and IP addresses, across all pools of this server.
//!
//! Not for publishing them.

use anyhow::Result;

use crate::boot::Ip;
use crate::failure::Failure;
use crate::pool::properties::{self, ANY};
use crate::pool::record::NodeRecord;
use crate::pool::{Node, NodeName, Pool};

/// The properties that are such names.
const KEYS: [&str; 3] = ["mac", "serial", "ip"];

/// Refuses a name of another node on the network: one of the two would boot the other's system, or could mount its root.
pub(super) fn refuse_shared_names(
    pool: &Pool,
    own: Option<&NodeName>,
    record: &NodeRecord,
) -> Result<()> {
    if KEYS.iter().all(|key| values(record, key).is_empty()) {
        return Ok(());
    }
    for node in pool.nodes()?.iter().filter(|n| Some(&n.name) != own) {
        refuse_shared(node, record, |key| {
            (
                node.name.to_string(),
                format!("netbe get {key} {}", node.name),
            )
        })?;
    }
    // A pool that cannot be read does not prevent changes in this one.
    let pools = Pool::all(pool.states())?.into_iter();
    for other in pools.filter_map(|(_, pool)| pool.ok()) {
        if other.state() == pool.state() {
            continue;
        }
        let root = other.root().display();
        for node in &other.nodes()? {
            refuse_shared(node, record, |key| {
                (
                    format!("{}, in the pool {root},", node.name),
                    format!("netbe --pool {root} get {key} {}", node.name),
                )
            })?;
        }
    }
    Ok(())
}

/// Refuses if a node has a name of the record; `describe` returns the other node in words, and the command that shows it.
fn refuse_shared(
    node: &Node,
    record: &NodeRecord,
    describe: impl Fn(&str) -> (String, String),
) -> Result<()> {
    refuse_any_beside_serial(node, record, &describe)?;
    for key in KEYS {
        let taken = values(&node.record, key);
        if let Some(value) = values(record, key).into_iter().find(|v| taken.contains(v)) {
            let (other, hint) = describe(key);
            let why = match value == ANY {
                true => format!(
                    "{other} already has {key}={value}: one node boots every machine that no other names"
                ),
                false => format!("{other} already has {key} {value}"),
            };
            return Err(Failure::refused(why).hint(hint).into());
        }
    }
    Ok(())
}

/// Refuses `mac=any` beside a node whose machine is known by its serial alone: before a Raspberry Pi asks by its serial, and
/// where its own file does not exist, it asks without a name, as any machine.
fn refuse_any_beside_serial(
    node: &Node,
    record: &NodeRecord,
    describe: impl Fn(&str) -> (String, String),
) -> Result<()> {
    if node.is_template() {
        return Ok(());
    }
    let alone = properties::is_by_serial_alone;
    let why = match () {
        () if properties::is_for_any(record) && alone(&node.record) => {
            "is known by its serial alone, and mac=any would not tell its machine from others: it needs its mac"
        }
        () if properties::is_for_any(&node.record) && alone(record) => {
            "has mac=any, and would boot a machine that is known by its serial alone: give it its mac too"
        }
        () => return Ok(()),
    };
    let (other, hint) = describe("mac");
    Err(Failure::refused(format!("{other} {why}")).hint(hint).into())
}

fn values(record: &NodeRecord, key: &str) -> Vec<String> {
    let value = record.properties.get(key).map_or("", String::as_str);
    if key == "ip" {
        let address = value.parse::<Ip>().ok().and_then(|ip| ip.address());
        return address.iter().map(ToString::to_string).collect();
    }
    let values = value.split(',').filter(|v| !v.is_empty());
    values.map(str::to_string).collect()
}
