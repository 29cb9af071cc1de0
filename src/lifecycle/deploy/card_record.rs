//! The card of a node, in its record: what it boots, and may boot while it is written.
//!
//! Promises that every environment that a card may boot is protected. Not for the card itself.

use anyhow::Result;
use jiff::Timestamp;

use crate::card::Target;
use crate::evidence::reports;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome};
use crate::pool::lock::WorkLock;
use crate::pool::record::Card;
use crate::pool::{Environment, Node, NodeLock, NodeName, Pool};

/// Forgets the card of a node, whose machine has no card any more.
pub fn forget(pool: &Pool, name: &NodeName, mode: Mode) -> Result<Outcome<String>> {
    // A card that is being written is waited for.
    let _only = mode.locks(pool, || WorkLock::to_write_cards(pool.state(), mode.wait))?;
    let lock = mode.lock(pool, name)?;
    let node = pool.node(name)?;
    node.refuse_lost()?;
    let Some(card) = node.record.card.clone() else {
        return Err(Failure::refused(format!("no card of {name} is known"))
            .hint(format!("netbe status {name}"))
            .into());
    };
    let mut plan = Plan::new();
    let sentence = format!(
        "forget the card of {name}, which boots {}",
        card.environment
    );
    plan.step(sentence, |lock: &mut NodeLock| {
        leave(lock, &node, &card.identities().cloned().collect::<Vec<_>>())?;
        let mut record = node.record.clone();
        record.card = None;
        node.store(lock, &record)
    });
    Ok(plan.carry_out(lock)?.map(|_lock| card.environment.clone()))
}

/// Records, before the card boots it, that a machine may run an environment; the previous one stays protected too. Returns
/// the record.
pub(super) fn begin(
    lock: &NodeLock,
    node: &Node,
    env: &Environment,
    target: &Target,
    boot_files: String,
) -> Result<Card> {
    let mut of_env = env.record_for_change()?;
    of_env.served = true;
    of_env.withdrawn = Some(Timestamp::now());
    of_env.known_boot_ids = reports::boot_ids(node);
    env.store(lock, &of_env, Durable::AtOnce)?;
    let uuid = env.uuid().unwrap_or_default().to_string();
    let before = node.record.card.iter().flat_map(Card::identities);
    let card = Card {
        environment: env.name.to_string(),
        replaces: before.filter(|before| **before != uuid).cloned().collect(),
        uuid,
        target: path_of(target),
        since: Timestamp::now(),
        kernel: env.kernel(),
        boot_files,
        unfinished: true,
    };
    let mut record = node.record.clone();
    record.card = Some(card.clone());
    node.store(lock, &record)?;
    Ok(card)
}

/// Records that the card boots only the new environment.
///
/// # Errors
/// A refusal if the record is of another card by now.
pub(super) fn finish(
    pool: &Pool,
    lock: &NodeLock,
    name: &NodeName,
    begun: &Card,
    target: &Target,
) -> Result<()> {
    let node = pool.node(name)?;
    let mut record = node.record.clone();
    let Some(card) = record.card.as_mut().filter(|card| *card == begun) else {
        return Err(Failure::refused(format!(
            "{} boots {name}/{} by now, but the card of {name} was recorded anew while it was written",
            target.path().display(),
            begun.environment
        ))
        .hint(format!("netbe status {name}"))
        .into());
    };
    let before = std::mem::take(&mut card.replaces);
    card.unfinished = false;
    // It may have been formatted since.
    card.target = path_of(target);
    leave(lock, &node, &before)?;
    node.store(lock, &record)
}

fn path_of(target: &Target) -> String {
    target.lasting_path().to_string_lossy().into_owned()
}

/// Records the time until which a card booted environments: the machine may run them until it reports another.
fn leave(lock: &NodeLock, node: &Node, uuids: &[String]) -> Result<()> {
    for env in node.environments()? {
        if uuids.iter().any(|uuid| Some(uuid.as_str()) == env.uuid())
            && let Some(mut record) = env.record.clone()
        {
            record.withdrawn = Some(Timestamp::now());
            record.known_boot_ids = reports::boot_ids(node);
            env.store(lock, &record, Durable::AtOnce)?;
        }
    }
    Ok(())
}
