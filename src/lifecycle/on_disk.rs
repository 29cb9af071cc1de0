//! Which environments of a node are on its own disk, by their records: for `status`.
//!
//! Reads only; not for the disk itself, which may be in its machine.

use serde::Serialize;

use crate::fs::shown_path::quoted;
use crate::pool::{Environment, Node};

/// Whether a node's disk has the environment that it boots next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskState {
    /// Whether the root of the active environment is on the disk.
    pub has_active: bool,
    /// The command that puts it there, if it is not.
    pub remedy: Option<String>,
}

/// Returns whether the disk of a node has the active environment; `None` if none of its environments is on a disk.
pub fn state(node: &Node, envs: &[Environment]) -> Option<DiskState> {
    let record = |env: &Environment| env.record.clone();
    let on_disk = envs.iter().filter_map(record);
    let on_disk = on_disk.filter(|record| record.disk.is_some());
    let newest = on_disk.max_by_key(|record| record.created)?;
    let active = envs.iter().find(|env| env.active)?;
    let has_active = record(active).is_some_and(|record| record.disk.is_some());
    let target = newest.disk.and_then(|disk| disk.target);
    let remedy = target.filter(|_| !has_active).map(|target| {
        format!(
            "netbe deploy {}/{} {}",
            node.name,
            active.name,
            quoted(target.as_ref())
        )
    });
    Some(DiskState { has_active, remedy })
}

/// Returns the name of an environment and the disk that its root is on, as text.
pub fn of(env: &Environment) -> Option<String> {
    let disk = env.disk()?;
    Some(format!("{} on {}", env.name, disk.device))
}
