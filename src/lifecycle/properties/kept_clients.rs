//! Clients that `set --existing` would deprive of access: they keep it until the node has booted again.
//!
//! They stay in the node's record, and in its exports. `reconcile` removes them after the node has reported a boot;
//! otherwise the next change of its clients does. Not for other losses: those are refused.

use anyhow::Result;

use super::loss::State;
use crate::evidence::{Evidence, reports};
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Held, Mode, Outcome};
use crate::pool::record::KeptClients;
use crate::pool::{Node, Pool};
use crate::publish::{self, exports};

/// Returns the node after a change, with the clients by which it may be mounting its root now.
pub(super) fn keep(before: State<'_>, after: State<'_>) -> Node {
    let mut node = after.1.clone();
    if let Some(kept) = lost(before, after) {
        node.record.kept = Some(kept);
    }
    node
}

fn lost(before: State<'_>, after: State<'_>) -> Option<KeptClients> {
    let is_exported =
        |(pool, node): State<'_>| node.is_offered() && publish::has_nfs_root(pool, node);
    if !is_exported(before) || !is_exported(after) {
        return None;
    }
    let mut clients = exports::allowed(before.0, before.1).ok()?;
    let new = exports::clients(after.0, after.1).ok()?;
    clients.retain(|client| !new.contains(client));
    let evidence = Evidence::now(before.1);
    let envs = before.1.environments().ok()?;
    let may_run = envs
        .iter()
        .any(|env| evidence.booted(env) != Some(false) || evidence.is_used(env));
    (may_run && !clients.is_empty()).then(|| KeptClients {
        clients,
        known_boot_ids: reports::boot_ids(before.1),
    })
}

/// Returns the sentence of the step that keeps them.
pub(super) fn sentence(node: &Node) -> Option<String> {
    let kept = node.record.kept.as_ref()?;
    Some(format!(
        "go on exporting the environments of {} to {} until it has booted again",
        node.name,
        kept.clients.join(", ")
    ))
}

/// Returns whether a node has reported a boot since its clients were kept.
pub fn is_over(node: &Node) -> bool {
    let Some(kept) = &node.record.kept else {
        return false;
    };
    let boot_ids = reports::boot_ids(node);
    boot_ids
        .iter()
        .any(|boot_id| !kept.known_boot_ids.contains(boot_id))
}

/// Removes the kept clients of a node that has booted again; returns a sentence.
///
/// # Errors
/// `Locked`, naming the holder.
pub fn end(pool: &Pool, node: &Node, mode: Mode) -> Result<Outcome<String>> {
    let lock = mode.lock(pool, &node.name)?;
    let node = pool.node(&node.name)?;
    node.refuse_lost()?;
    let mut plan = Plan::new();
    let sentence = format!("export the environments of {} as set", node.name);
    plan.step(sentence, |held: &mut Held| {
        let mut record = node.record.clone();
        record.kept = None;
        node.store(held.lock, &record)?;
        publish::everything(pool, Some(&held.shared)).map(drop)
    });
    let done = plan.carry_out(Held::beside(pool, lock.as_ref(), mode)?)?;
    Ok(done.map(|_held| {
        format!(
            "{} has booted again: its environments are exported as set.",
            node.name
        )
    }))
}
