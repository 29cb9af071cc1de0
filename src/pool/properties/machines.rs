//! Which machines boot a node, by its properties `mac`, `serial` and `access`.
//!
//! Pure. Not for the environments that they run: `evidence`.

use super::{ANY, effective};
use crate::pool::record::{NodeRecord, PoolRecord};

/// Returns whether the machines of a node keep their changes in memory.
pub fn is_read_only(node: Option<&NodeRecord>, pool: &PoolRecord) -> bool {
    effective("access", node, pool).is_some_and(|access| access.value == "ro")
}

/// Returns whether several machines boot a node's environments at once: with a read-only root, each MAC address is one;
/// else they are network cards of one machine.
pub fn has_several_machines(node: Option<&NodeRecord>, pool: &PoolRecord) -> bool {
    let macs = node.and_then(|node| node.properties.get("mac"));
    is_read_only(node, pool) && macs.is_some_and(|macs| macs.contains(',') || macs == ANY)
}

/// Returns the MAC addresses in a node's record.
pub fn addresses(node: &NodeRecord) -> impl Iterator<Item = &str> {
    let macs = node.properties.get("mac").into_iter();
    let macs = macs.flat_map(|macs| macs.split(','));
    macs.filter(|mac| !mac.is_empty() && *mac != ANY)
}

/// Returns whether every machine that no other node names boots a node.
pub fn is_for_any(node: &NodeRecord) -> bool {
    let macs = node.properties.get("mac");
    macs.is_some_and(|macs| macs.split(',').any(|mac| mac == ANY))
}

/// Returns whether a node's machine is known only by a Raspberry Pi's serial.
pub fn is_by_serial_alone(node: &NodeRecord) -> bool {
    let serial = node.properties.get("serial");
    serial.is_some_and(|serial| !serial.is_empty()) && addresses(node).next().is_none()
}
