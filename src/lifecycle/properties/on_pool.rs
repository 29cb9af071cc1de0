//! Setting properties of the pool, for every node without its own value.

use anyhow::{Context, Result};

use super::subject::Subject;
use super::{Changed, access, anyway, iscsi};
use super::{Request, apply, kept_clients, loss, misfits, reaches_boot_files, republish, summary};
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome};
use crate::pool::record::PoolRecord;
use crate::pool::{Pool, PoolLock};

/// Sets properties of the pool.
pub(super) fn set(
    pool: &Pool,
    values: &[(String, String)],
    request: Request<'_>,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    let changed_record = |sentences: &mut Vec<String>| -> Result<PoolRecord> {
        let mut record: PoolRecord = pool.again()?.record().clone();
        *sentences = apply(&mut record.properties, values, "the pool");
        Ok(record)
    };
    let mut sentences = Vec::new();
    let record = changed_record(&mut sentences)?;
    let changed = pool.with_record(&record);
    let is_for_new = reaches_boot_files(
        |key| pool.record().properties.get(key).cloned(),
        |key| record.properties.get(key).cloned(),
    );
    let (mut lost, mut plan) = (Vec::new(), Plan::new());
    for node in pool.nodes()? {
        let mut after = node.clone();
        if request.existing {
            after = kept_clients::keep((pool, &node), (&changed, &node));
        }
        let (before, after) = ((pool, &node), (&changed, &after));
        access::refuse(&changed, &node.record, Subject::Node(&node.name))?;
        iscsi::refuse(&changed, &node.record, Subject::Node(&node.name))?;
        if !request.force {
            loss::refuse(before, after, &anyway(values, None))?;
        }
        lost.extend(loss::warning(before, after));
        let kept = after.1.record.kept.clone();
        if kept != node.record.kept
            && let Some(sentence) = kept_clients::sentence(after.1)
        {
            // Before the pool's lock, which is taken after those of nodes.
            plan.step(sentence, move |_: &mut OnPool| {
                let lock = mode.lock_to_change(pool, &node.name)?;
                let node = pool.node(&node.name)?;
                node.refuse_lost()?;
                let mut record = node.record.clone();
                record.kept = kept;
                node.store(&lock, &record)
            });
        }
    }
    plan.steps(sentences, move |on_pool| {
        let shared = pool.lock(mode.wait)?;
        pool.store(&shared, &changed_record(&mut Vec::new())?)?;
        on_pool.shared = Some(shared);
        Ok(())
    });
    plan.step("publish", |on_pool| {
        let shared = on_pool.shared.as_ref().context("the pool is not locked")?;
        on_pool.warnings = lost;
        on_pool.warnings.extend(misfits(&changed, None, values)?);
        on_pool
            .warnings
            .extend(republish(&pool.again()?, shared, None)?);
        Ok(())
    });
    let done = plan.carry_out(mode.locks(pool, || Ok(OnPool::default()))?)?;
    Ok(done.map(|on_pool| summary(values, is_for_new, on_pool.warnings)))
}

/// The context of the steps.
#[derive(Default)]
struct OnPool {
    shared: Option<PoolLock>,
    warnings: Vec<String>,
}
