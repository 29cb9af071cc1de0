//! The environment on a node's card, by the node's record, and the refusals for that reason.
//!
//! A machine with a card boots from it first, whatever is active. Reads only; not for the card itself, nor for its record:
//! `deploy --boot`.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::card::boot_files;
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::fs::shown_path::quoted;
use crate::hex;
use crate::pool::record::Card;
use crate::pool::{Environment, Node, NodeName, Pool};

/// What a node's card boots, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardState {
    /// The environment.
    pub environment: String,
    /// When it was written, UTC.
    pub since: Timestamp,
    /// Its kernel then.
    pub kernel: Option<String>,
    /// Where the card was then.
    pub target: String,
    /// Why it is not what the node would boot over the network; `None` where it is.
    pub behind: Option<String>,
    /// The command that brings it up to date.
    pub remedy: Option<String>,
}

/// Returns what a node's card boots, and whether that is what is active.
pub fn state(node: &Node, envs: &[Environment]) -> Option<CardState> {
    let card = node.record.card.as_ref()?;
    let behind = behind(card, envs);
    Some(CardState {
        environment: card.environment.clone(),
        since: card.since,
        kernel: card.kernel.clone(),
        target: card.target.clone(),
        remedy: behind.as_ref().map(|_| command(node, card)),
        behind,
    })
}

fn behind(card: &Card, envs: &[Environment]) -> Option<String> {
    let active = envs.iter().find(|env| env.active)?;
    if card.unfinished {
        return Some("the last deploy to it was not finished".to_string());
    }
    if !is_on(card, active) {
        return Some(format!("{} is active", active.name));
    }
    match digest_of_boot_half(active) {
        Ok(digest) if digest == card.boot_files => None,
        Ok(_) => Some(format!(
            "the boot files of {} have changed since",
            active.name
        )),
        Err(e) => Some(format!(
            "the boot files of {} cannot be read: {e:#}",
            active.name
        )),
    }
}

/// Returns the command that writes what is active to a node's card.
fn command(node: &Node, card: &Card) -> String {
    format!(
        "netbe deploy {} --boot {}",
        node.name,
        quoted(Path::new(&card.target))
    )
}

/// Returns the warning of a command after which a node's card does not boot what is active.
pub fn warning(node: &Node) -> Option<String> {
    let state = state(node, &node.environments().ok()?)?;
    let (behind, remedy) = (state.behind?, state.remedy?);
    Some(format!(
        "{} boots from its card, which has {} and is behind: {behind}; {remedy}",
        node.name, state.environment
    ))
}

/// Returns these warnings for one node, or for all, read anew.
pub fn warnings(pool: &Pool, only: Option<&NodeName>) -> Result<Vec<String>> {
    let nodes = match only {
        Some(name) => vec![pool.node(name)?],
        None => pool.nodes()?,
    };
    Ok(nodes.iter().filter_map(warning).collect())
}

/// Refuses a boot for once or on trial: the machine would not ask this server.
pub fn refuse_pending_boot(node: &Node) -> Result<()> {
    match &node.record.card {
        None => Ok(()),
        Some(card) => Err(Failure::refused(format!(
            "{} boots from its card, which has {}, and does not ask this server what to boot",
            node.name, card.environment
        ))
        .hint_to("to say that it has no card any more", forget_command(node))
        .into()),
    }
}

/// Refuses to take away an environment that a node's card boots.
pub fn refuse(node: &Node, env: &Environment) -> Result<()> {
    let Some(card) = node.record.card.as_ref().filter(|card| is_on(card, env)) else {
        return Ok(());
    };
    let since = card.since.strftime("%Y-%m-%d %H:%M UTC");
    let why = match card.environment == env.name.as_str() {
        true => format!(
            "{env} is what the card of {} boots, written {since}: deploy another environment to it first",
            node.name
        ),
        false => format!(
            "the card of {} may boot {env}: the deploy of {} to it, begun {since}, was not finished",
            node.name, card.environment
        ),
    };
    Err(Failure::refused(why)
        .hint_to("to say that it has no card any more", forget_command(node))
        .into())
}

fn forget_command(node: &Node) -> String {
    format!("netbe deploy {} --boot none", node.name)
}

fn is_on(card: &Card, env: &Environment) -> bool {
    match env.uuid() {
        Some(uuid) => card.identities().any(|on_card| on_card == uuid),
        // The record is lost: only the name is left to compare.
        None => card.environment == env.name.as_str(),
    }
}

/// Returns a digest of an environment's boot files: of their paths, lengths and modification times.
pub(super) fn digest_of_boot_half(env: &Environment) -> Result<String> {
    let boot = Tree::open(&env.boot())?;
    let mut digest = Sha256::new();
    for file in boot_files(&boot, "")? {
        let modified = boot.metadata(&file.path)?.and_then(|m| m.modified().ok());
        digest.update(format!("{} {} {modified:?}\n", file.path, file.length));
    }
    Ok(hex::digits(&digest.finalize()[..16]))
}
