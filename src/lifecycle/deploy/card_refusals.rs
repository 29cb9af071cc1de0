//! Nodes that no card can boot, and cards that cannot be written.
//!
//! Reads only. Not for environments that would not boot: those fail verification.

use anyhow::Result;

use crate::card::{Found, Target, Wanted};
use crate::failure::Failure;
use crate::pool::pending::Pending;
use crate::pool::{Node, Pool};
use crate::publish;

/// Refuses a node that a card cannot boot.
pub(super) fn refuse_unfit(pool: &Pool, node: &Node) -> Result<()> {
    let name = &node.name;
    if node.is_template() || !node.is_offered() {
        return Err(Failure::refused(format!(
            "no machine is known to be {name}, so its root is exported to none: a card could not boot it"
        ))
        .hint(format!("netbe get mac {name}"))
        .into());
    }
    if !publish::has_nfs_root(pool, node) {
        return Err(Failure::refused(format!(
            "{name} does not mount its root over NFS, which a card with a boot half leads to"
        ))
        .hint(format!("netbe get root {name}"))
        .into());
    }
    if node.has_several_machines(pool) {
        return Err(Failure::refused(format!(
            "{name} is several machines, and netbe keeps account of one card of a node"
        ))
        .hint(format!("netbe get mac {name}"))
        .into());
    }
    if Pending::read(&node.state).boot().is_some() {
        return Err(Failure::refused(format!(
            "{name} has a pending boot, which it would not make from a card"
        ))
        .hint(format!("netbe activate --cancel {name}"))
        .into());
    }
    Ok(())
}

/// Refuses a card from which another node boots.
pub(super) fn refuse_of_another(
    pool: &Pool,
    node: &Node,
    target: &Target,
    found: &Found,
) -> Result<()> {
    let Some((name, uuid)) = &found.owner else {
        return Ok(());
    };
    let other = name.parse().ok().and_then(|name| pool.node(&name).ok());
    let boots_it = |other: &Node| {
        let card = other.record.card.as_ref();
        card.is_some_and(|card| card.identities().any(|on_card| on_card == uuid))
    };
    if *name == node.name.as_str() || !other.as_ref().is_some_and(boots_it) {
        return Ok(());
    }
    Err(
        Failure::refused(format!("{} is the card of {name}", target.path().display()))
            .hint_to(
                format!("to say that {name} has no card any more"),
                format!("netbe deploy {name} --boot none"),
            )
            .into(),
    )
}

/// Refuses a card that has too little room.
pub(super) fn refuse_full(target: &Target, found: &Found, wanted: &Wanted) -> Result<()> {
    let mut lengths: Vec<u64> = wanted.files.iter().map(|file| file.length).collect();
    let texts = [&wanted.switch, &wanted.manifest];
    lengths.extend(texts.map(|text| text.len() as u64));
    target.refuse_full(&lengths, &found.unneeded())
}
