//! Properties that contradict a read-only root: property `access`.
//!
//! Reads only. Not for losses of running machines: [`super::loss`].

use anyhow::Result;

use super::subject::Subject;
use crate::boot::NfsVersion;
use crate::failure::Failure;
use crate::pool::record::NodeRecord;
use crate::pool::{Pool, data, properties};

/// Refuses properties of a node that contradict a read-only root.
///
/// # Errors
/// A refusal with the property that is in the way, and the command that changes it.
pub(super) fn refuse(pool: &Pool, record: &NodeRecord, node: Subject<'_>) -> Result<()> {
    let property = |key| properties::effective(key, Some(record), pool.record()).map(|v| v.value);
    if properties::is_for_any(record) {
        refuse_any(pool, record, node)?;
    }
    if !properties::is_read_only(Some(record), pool.record()) {
        return Ok(());
    }
    if let Some(root) = property("root").filter(|root| root != "nfs") {
        return Err(Failure::refused(format!(
            "{node} has its root on a disk of its own ({root}): access=ro is for a root on this server"
        ))
        .hint(node.setting("root=nfs access=ro"))
        .into());
    }
    let version = property("nfs.version").filter(|v| *v != NfsVersion::V3.to_string());
    if let Some(version) = version {
        return Err(Failure::refused(format!(
            "{node} mounts its root by NFS version {version}, from which nothing can be changed in memory: access=ro needs \
             version 3"
        ))
        .hint(node.setting("nfs.version=3 access=ro"))
        .into());
    }
    if !properties::has_several_machines(Some(record), pool.record()) {
        return Ok(());
    }
    if let Some(ip) = property("ip").filter(|ip| ip != "dhcp") {
        return Err(Failure::refused(format!(
            "several machines boot {node} with access=ro, and would have one address (ip={ip})"
        ))
        .hint(node.setting("ip=dhcp"))
        .into());
    }
    if property("data").is_some_and(|value| !data::asked(&value).is_empty()) {
        return Err(Failure::refused(format!(
            "{node} has data, which one machine writes, and several machines boot it with access=ro"
        ))
        .hint(node.setting("data=none"))
        .into());
    }
    Ok(())
}

/// Refuses a node for any machine whose machines would write to one root, or boot another node's system.
fn refuse_any(pool: &Pool, record: &NodeRecord, node: Subject<'_>) -> Result<()> {
    if !properties::is_read_only(Some(record), pool.record()) {
        return Err(Failure::refused(format!(
            "with mac=any every machine that no other node names boots {node}, and all would write to one root: it needs \
             access=ro"
        ))
        .hint("netbe set --help")
        .into());
    }
    if properties::is_by_serial_alone(record) {
        return Err(Failure::refused(format!(
            "{node} is known by its serial alone, and mac=any would not tell its machine from others"
        ))
        .hint("netbe set --help")
        .into());
    }
    Ok(())
}
