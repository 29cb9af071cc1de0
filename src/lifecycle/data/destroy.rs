//! Destroying data that was taken off the list: `destroy --data`.
//!
//! Refuses data that environments mount, and data that a machine may still have mounted. First the record loses the path,
//! then the export is removed, then the data is deleted. Not for the data of a node that is destroyed as a whole.

use anyhow::{Context, Result};

use super::list;
use crate::evidence::{self, Evidence, reports};
use crate::failure::Failure;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Held, Mode, Outcome};
use crate::pool::data::DataPath;
use crate::pool::{Node, NodeName, Pool, data_store};
use crate::publish;

/// Destroys the data of these paths: all of it, or none where one is protected.
pub fn destroy(
    pool: &Pool,
    name: &NodeName,
    paths: &[DataPath],
    mode: Mode,
) -> Result<Outcome<Vec<String>>> {
    pool.node(name)?;
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    node.refuse_lost()?;
    for path in paths {
        refuse_mounted(&node, path)?;
    }
    refuse_used(&node, paths)?;
    let mut plan = Plan::new();
    let sentences = paths
        .iter()
        .map(|path| format!("destroy the data of {path} of {name}"));
    plan.steps(sentences.collect(), |held: &mut Held| {
        // Again, under the lock.
        refuse_used(&node, paths)?;
        for path in paths {
            data_store::retire(held.lock, &node, path)?;
        }
        let mut record = node.record.clone();
        record.data.paths.retain(|data| !paths.contains(&data.path));
        node.store(held.lock, &record)?;
        publish::everything(pool, Some(&held.shared))
            .context("nothing was destroyed yet; netbe check --repair goes on")?;
        for path in paths {
            data_store::discard(held.lock, &node, path)?;
        }
        Ok(())
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|_held| {
        paths
            .iter()
            .map(|path| format!("the data of {path} of {name}"))
            .collect()
    }))
}

fn refuse_mounted(node: &Node, path: &DataPath) -> Result<()> {
    let name = &node.name;
    match node.record.data.get(path) {
        None => Err(Failure::not_found(format!("{name} has no data of {path}"))
            .hint(format!("netbe get data {name}"))
            .into()),
        Some(data) if data.off => Ok(()),
        Some(_) => {
            let others: Vec<DataPath> = node.record.data.mounted().cloned().collect();
            let others: Vec<DataPath> = others.into_iter().filter(|o| o != path).collect();
            let left = if others.is_empty() {
                "none".to_string()
            } else {
                list(&others).replace(", ", ",")
            };
            Err(
                Failure::refused(format!("the environments of {name} mount {path}"))
                    .hint_to(
                        "take it off the list first",
                        format!("netbe set data={left} {name}"),
                    )
                    .into(),
            )
        }
    }
}

/// Refuses data that a machine may have mounted: the machine has not booted since the path was removed from the list, or the
/// NFS server has the data in use.
fn refuse_used(node: &Node, paths: &[DataPath]) -> Result<()> {
    if !node.is_offered() {
        return Ok(());
    }
    let name = &node.name;
    let boot_ids = reports::boot_ids(node);
    let has_booted = boot_ids
        .iter()
        .any(|boot_id| !node.record.data.known_boot_ids.contains(boot_id));
    let evidence = Evidence::now(node);
    let envs = node.environments()?;
    if !has_booted && envs.iter().any(|env| evidence.booted(env) != Some(false)) {
        return Err(Failure::refused(format!(
            "{name} may still have {} mounted: it has not reported a boot since the list changed",
            list(paths)
        ))
        .hint_to(
            format!("reboot {name}, or if it is permanently off, take it off the network"),
            format!("netbe set --force mac= serial= {name}"),
        )
        .into());
    }
    for path in paths {
        let place = data_store::subvolume_of(node, path);
        let used = evidence::is_used_still(&place).context("reading the NFS server's tables")?;
        if used {
            return Err(
                Failure::refused(format!(
                    "the NFS server has {path} of {name} in use; it drops unused entries within half an hour"
                ))
                .into(),
            );
        }
    }
    Ok(())
}

/// Refuses to destroy a node with data, unless the data is to be destroyed too.
pub(in crate::lifecycle) fn refuse_left(node: &Node, data: bool) -> Result<()> {
    let unknown = data_store::unknown(node)?;
    if data || (node.record.data.is_empty() && unknown.is_empty()) {
        return Ok(());
    }
    let paths: Vec<DataPath> = node
        .record
        .data
        .paths
        .iter()
        .map(|d| d.path.clone())
        .collect();
    let what = match paths.as_slice() {
        [] => data_store::directory(node).display().to_string(),
        paths => list(paths),
    };
    Err(
        Failure::refused(format!("{} has data of its own: {what}", node.name))
            .hint(format!("netbe destroy -r --data {}", node.name))
            .into(),
    )
}
