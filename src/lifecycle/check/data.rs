//! The findings of `check` in the data of a node: data that is missing, left over, or not as the property says.
//!
//! Not for environments that do not mount it, which are found by verification, nor for missing exports: `published`.

use std::path::Path;

use anyhow::Result;

use super::{Finding, Repair};
use crate::fs::graft;
use crate::lifecycle::data;
use crate::pool::{Node, Pool, data_store, layout, lock};

/// Returns the findings of a node.
pub(super) fn of_node(pool: &Pool, node: &Node) -> Result<Vec<Finding>> {
    if node.lost || lock::is_held(pool.state(), &node.name) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for missing in &node.record.data.paths {
        if !data_store::is_there(node, &missing.path)? {
            let place = data_store::subvolume_of(node, &missing.path);
            let problem = format!(
                "its data of {} is missing: restore it from a backup, as a subvolume at {}, or let the node have none",
                missing.path,
                place.display()
            );
            let mut others = node.record.data.mounted().cloned().collect::<Vec<_>>();
            let number = others.len();
            others.retain(|path| *path != missing.path);
            let remedy = match (others.is_empty(), others.len() < number) {
                (_, false) => format!("netbe destroy --data {} {}", node.name, missing.path),
                (true, true) => format!("netbe set data=none {}", node.name),
                (false, true) => {
                    let others = data::list(&others).replace(", ", ",");
                    format!("netbe set data={others} {}", node.name)
                }
            };
            found.push(Finding::new(&node.name, problem, remedy));
        }
    }
    for data in &node.record.data.paths {
        for left in graft::leftovers(&data_store::subvolume_of(node, &data.path))? {
            let repair = Repair::Remove(left.clone(), Some(node.name.clone()));
            let problem = "an interrupted merge left it: copies that have no name yet";
            found.push(Finding::repairable(left.display(), problem, repair));
        }
    }
    for path in data_store::unknown(node)? {
        let data = data_store::path_of(&path);
        let used = data.as_ref().map(|data| data_store::was_used(node, data));
        if let (Some(data), true) = (&data, used.transpose()?.unwrap_or(false)) {
            let problem = format!("its record does not name {}", path.display());
            let remedy = format!("netbe set data={data} {}", node.name);
            found.push(Finding::new(&node.name, problem, remedy));
        } else if data.is_some() || is_hidden(&path) {
            let repair = Repair::Remove(path.clone(), Some(node.name.clone()));
            let problem = "an interrupted command left it: no data of its node";
            found.push(Finding::repairable(path.display(), problem, repair));
        }
    }
    if data::differs(pool, node) {
        let problem = "its data is not as the property data says";
        let remedy = format!("netbe set --existing {}", node.name);
        found.push(Finding::new(&node.name, problem, remedy));
    }
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| layout::hidden_work(name).is_some())
}
