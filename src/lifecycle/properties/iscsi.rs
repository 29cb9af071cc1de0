//! Properties that contradict a root by iSCSI: `root=iscsi`.
//!
//! A disk cannot be the read-only root of several machines (`access=ro`). Reads only. Not for losses of running machines:
//! [`super::loss`].

use anyhow::Result;

use super::subject::Subject;
use crate::failure::Failure;
use crate::pool::record::NodeRecord;
use crate::pool::{Pool, data, properties};
use crate::publish::iscsi;
use crate::publish::iscsi_targets::{self, Admission};

/// Refuses properties of a node that contradict a disk of its own on this server.
///
/// # Errors
/// A refusal with the property that is in the way, and the command that changes it.
pub(super) fn refuse(pool: &Pool, record: &NodeRecord, node: Subject<'_>) -> Result<()> {
    let property = |key| properties::effective(key, Some(record), pool.record()).map(|v| v.value);
    if property("root").as_deref() != Some("iscsi") {
        return Ok(());
    }
    let refused = |why: String, hint: String| Err(Failure::refused(why).hint(hint).into());
    if property("data").is_some_and(|value| !data::asked(&value).is_empty()) {
        return refused(
            format!("{node} has data on this server, which a root by iSCSI does not mount"),
            node.setting("data=none"),
        );
    }
    if iscsi::admission() == Admission::Name {
        return Ok(());
    }
    let clients = property("clients").unwrap_or_default();
    let mut names = clients.split(',').filter(|client| !client.is_empty());
    if let Some(name) = names.find(|client| !iscsi_targets::is_address(client)) {
        return refused(
            format!(
                "the disk of {node} cannot be offered to {name}: tgt knows addresses and networks, no names"
            ),
            match node {
                Subject::Node(name) => format!("netbe get clients {name}"),
                Subject::New => "netbe get clients".to_string(),
            },
        );
    }
    Ok(())
}
