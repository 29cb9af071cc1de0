//! Copying the data of one node to another: `clone --data`.
//!
//! Promises that the other node had none, and that the copy is complete before the record names it. The environments of the
//! other node mount it then, as after `set data=`. Not for environments.

use anyhow::Result;

use super::{list, refuse_without_helper};
use crate::evidence::reports;
use crate::failure::Failure;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::properties::{self, Changed};
use crate::lifecycle::{Held, Mode, Outcome};
use crate::pool::data::{Data, DataPath, DataRecord};
use crate::pool::stage::Staged;
use crate::pool::{Node, NodeName, Pool, data_store, layout};
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

/// Gives a node the data of another as it is now, and has its environments mount it.
pub fn copy(pool: &Pool, from: &NodeName, to: &NodeName, mode: Mode) -> Result<Outcome<Changed>> {
    refuse(pool, from, to)?;
    let locks = mode.locks(pool, || pool.lock_both(to, from, mode.wait))?;
    refuse(pool, from, to)?;
    let (source, target) = (pool.node(from)?, pool.node(to)?);
    let paths: Vec<DataPath> = source.record.data.mounted().cloned().collect();
    let mut plan = Plan::new();
    let sentence = format!("copy {} of the data of {from} to {to}", list(&paths));
    plan.step(sentence, |held: &mut Held| {
        give(held, &source, &target, &paths)
    });
    let lock = locks.as_ref().map(|(lock, _)| lock);
    let copied = plan.carry_out(Held::beside(pool, lock, mode)?)?;
    let copied = copied.map(|held| held.warnings);
    // The locks of the environments are taken one by one.
    drop(locks);
    Ok(
        match (copied, properties::mount_data_in_all(pool, to, mode)?) {
            (Outcome::Planned(mut steps), Outcome::Planned(more)) => {
                steps.extend(more);
                Outcome::Planned(steps)
            }
            (Outcome::Done(warnings), Outcome::Done(mut done)) => {
                done.warnings.extend(warnings);
                Outcome::Done(done)
            }
            (_, done) => done,
        },
    )
}

fn give(held: &mut Held, source: &Node, target: &Node, paths: &[DataPath]) -> Result<()> {
    let staged = Staged::new(&target.dir, layout::DATA)?;
    data_store::copy(source, staged.path())?;
    data_store::publish(held.lock, &staged, target, paths)?;
    let mut record = target.record.clone();
    record.data = DataRecord {
        paths: paths.iter().cloned().map(Data::new).collect(),
        known_boot_ids: reports::boot_ids(target),
    };
    let value = list(paths).replace(", ", ",");
    record.properties.insert("data".to_string(), value);
    target.store(held.lock, &record)?;
    data_store::take_into_use(held.lock, &held.pool.node(&target.name)?)?;
    let published = publish::everything(held.pool, Some(&held.shared))?;
    held.warnings.extend(published.warnings);
    Ok(())
}
