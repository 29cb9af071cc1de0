//! Copying the data of one node to another: `clone --data`.
//!
//! Promises that the other node had none, and that the copy is complete before the record names it. The environments of the
//! other node mount it then, as after `set data=`. Not for environments.

use anyhow::Result;

use super::{list, refuse_without_helper};
use crate::evidence::reports;
use crate::failure::Failure;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::properties;
use crate::lifecycle::{Held, Mode, Outcome};
use crate::pool::data::{Data, DataPath, DataRecord};
use crate::pool::stage::Staged;
use crate::pool::{Node, NodeName, NodeRecord, Pool, data_store, layout};
use crate::publish;

/// Refuses where the data of one node cannot become another's.
///
/// # Errors
/// A refusal with the reason.
pub fn refuse(pool: &Pool, from: &NodeName, to: &NodeName) -> Result<()> {
    let (source, target) = (pool.node(from)?, pool.node(to)?);
    let refused = |why: String, hint: String| Err(Failure::refused(why).hint(hint).into());
    if source.record.data.mounted().next().is_none() {
        let why = format!("{from} has no data of its own");
        return refused(why, format!("netbe set data=default {from}"));
    }
    if target.is_template() || !publish::has_nfs_root(pool, &target) {
        let why =
            format!("{to} has no data of its own: no machine mounts its root from this server");
        return refused(why, format!("netbe get root {to}"));
    }
    if !target.record.data.is_empty() || from == to {
        let why = format!("{to} has data of its own already");
        return refused(why, format!("netbe get data {to}"));
    }
    target.refuse_lost()?;
    refuse_without_helper(&target)
}

/// Gives a node the data of another as it is now, and has its environments mount it; returns the warnings, and the failures
/// of environments that do not mount it, or would not.
pub fn copy(
    pool: &Pool,
    from: &NodeName,
    to: &NodeName,
    mode: Mode,
) -> Result<(Outcome<Vec<String>>, Vec<anyhow::Error>)> {
    refuse(pool, from, to)?;
    let locks = mode.locks(pool, || pool.lock_both(to, from, mode.wait))?;
    refuse(pool, from, to)?;
    let (source, target) = (pool.node(from)?, pool.node(to)?);
    let paths: Vec<DataPath> = source.record.data.mounted().cloned().collect();
    let with_copy = Node {
        record: record_with(&target, &paths),
        ..target.clone()
    };
    let mut plan = Plan::new();
    let sentence = format!("copy {} of the data of {from} to {to}", list(&paths));
    plan.step(sentence, |held: &mut Held| {
        give(held, &source, &with_copy, &paths)
    });
    let lock = locks.as_ref().map(|(lock, _)| lock);
    let copied = plan.carry_out(Held::beside(pool, lock, mode)?)?;
    let copied = copied.map(|held| held.warnings);
    // The locks of the environments are taken one by one.
    drop(locks);
    let (mounted, failures) = properties::mount_data_in_all(pool, &with_copy, mode)?;
    Ok((copied.followed_by(mounted), failures))
}

/// Returns the record of a node with a copy of data at these paths.
fn record_with(target: &Node, paths: &[DataPath]) -> NodeRecord {
    let mut record = target.record.clone();
    record.data = DataRecord {
        paths: paths.iter().cloned().map(Data::new).collect(),
        known_boot_ids: reports::boot_ids(target),
    };
    let value = list(paths).replace(", ", ",");
    record.properties.insert("data".to_string(), value);
    record
}

fn give(held: &mut Held, source: &Node, with_copy: &Node, paths: &[DataPath]) -> Result<()> {
    let staged = Staged::new(&with_copy.dir, layout::DATA)?;
    data_store::copy(source, staged.path())?;
    data_store::publish(held.lock, &staged, with_copy, paths)?;
    with_copy.store(held.lock, &with_copy.record)?;
    data_store::take_into_use(held.lock, &held.pool.node(&with_copy.name)?)?;
    let published = publish::everything(held.pool, Some(&held.shared))?;
    held.warnings.extend(published.warnings);
    Ok(())
}
