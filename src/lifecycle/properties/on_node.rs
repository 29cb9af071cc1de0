//! Setting properties of a node.

use anyhow::{Context, Result};

use super::machines::{self, Forgotten};
use super::subject::Subject;
use super::{Changed, access, anyway, iscsi};
use super::{
    Request, apply, kept_clients, loss, misfits, reaches_boot_files, republish, sets_data, summary,
};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::lifecycle::data::Change;
use crate::lifecycle::network_names::refuse_shared_names;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Held, Mode, Outcome, activate};
use crate::pool::{Node, NodeName, Pool, data, data_store};
use crate::publish;

/// Sets properties of a node.
pub(super) fn set(
    pool: &Pool,
    name: &NodeName,
    values: &[(String, String)],
    request: Request<'_>,
    mode: Mode,
) -> Result<Outcome<Changed>> {
    pool.node(name)?;
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    // Rewriting it would lose its properties, or fields of a newer netbe.
    node.refuse_lost()?;
    let mut changed = node.clone();
    let mut sentences = apply(&mut changed.record.properties, values, name.as_str());
    if node.is_template()
        && let Some((key, _)) = values
            .iter()
            .find(|(k, v)| ["mac", "serial"].contains(&k.as_str()) && !v.is_empty())
    {
        return Err(Failure::refused(format!(
            "{name} is a template: no machine boots it, so it has no {key}"
        ))
        .hint("netbe create --help")
        .into());
    }
    refuse_shared_names(pool, Some(name), &changed.record)?;
    access::refuse(pool, &changed.record, Subject::Node(name))?;
    iscsi::refuse(pool, &changed.record, Subject::Node(name))?;
    changed.record.kept = node.record.kept.clone().filter(|_| request.existing);
    if request.existing {
        changed = kept_clients::keep((pool, &node), (pool, &changed));
        sentences.extend(kept_clients::sentence(&changed));
    }
    let change = match request.existing || sets_data(values) {
        true => Change::of(pool, &changed)?,
        false => Change::default(),
    };
    sentences.splice(0..0, change.sentences(&changed));
    let is_for_new = reaches_boot_files(
        |key| node.property(pool, key),
        |key| changed.property(pool, key),
    ) || node.has_several_machines(pool) != changed.has_several_machines(pool);
    refuse_data_of_local_root(pool, &changed, values)?;
    if !request.force {
        let anyway = anyway(values, Some(name));
        loss::refuse((pool, &node), (pool, &changed), &anyway)?;
        machines::refuse(pool, &node, &changed, &anyway)?;
    }
    let forgotten = match request.force && values.iter().any(|(key, _)| key == "mac") {
        true => Forgotten::of(pool, &node, &changed),
        false => Forgotten::default(),
    };
    sentences.extend(forgotten.sentence(name));
    let mut plan = Plan::new();
    plan.steps(sentences, |held: &mut Held| {
        // Again, now that the lock keeps other nodes from getting the same name.
        refuse_shared_names(pool, Some(name), &changed.record)?;
        held.warnings
            .extend(loss::warning((pool, &node), (pool, &changed)));
        held.warnings.extend(loses_handles(pool, &node, &changed));
        held.warnings.extend(misfits(pool, Some(&changed), values)?);
        // Durable before a name leads to it.
        if changed.is_offered()
            && let Some(active) = node.active_if_any()?
        {
            activate::mark_served(held.lock, &changed, &active, None, None)?;
            subvolume::sync(pool.root()).context("making durable what will be exported")?;
        }
        let mut record = changed.record.clone();
        record.data = change.apply(held.lock, &changed)?;
        if !request.force {
            machines::keep(held.lock, &node, &changed)?;
        }
        node.store(held.lock, &record)?;
        forgotten.forget(held.lock, &node)?;
        data_store::take_into_use(held.lock, &pool.node(name)?)
    });
    plan.step("publish", |held| {
        held.warnings
            .extend(republish(pool, &held.shared, Some(name))?);
        Ok(())
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|held| Changed {
        notes: change.notes(&changed),
        ..summary(values, is_for_new, held.warnings)
    }))
}

/// Refuses data for a node that mounts nothing from this server.
fn refuse_data_of_local_root(pool: &Pool, node: &Node, values: &[(String, String)]) -> Result<()> {
    let asks = |(key, value): &(String, String)| key == "data" && !data::asked(value).is_empty();
    let by_iscsi = node.property(pool, "root").as_deref() == Some("iscsi");
    if (publish::has_nfs_root(pool, node) && !by_iscsi) || !values.iter().any(asks) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} has its root on a disk of its own, and mounts no data from this server",
        node.name
    ))
    .hint(format!("netbe get root {}", node.name))
    .into())
}

/// Returns the warning that the server does not accept the handles of a running machine any more.
pub(super) fn loses_handles(pool: &Pool, before: &Node, after: &Node) -> Option<String> {
    let checks = |node| publish::exports::checks_subtrees(pool, node);
    let is_new = before.is_offered() && !checks(before) && checks(after);
    is_new.then(|| {
        format!(
            "nfs.subtree-check takes full effect on {} at its next boot: files that it has open now fail with \
             ESTALE",
            after.name
        )
    })
}
