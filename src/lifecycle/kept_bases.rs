//! The environments that nodes come from and that `destroy` keeps, since a merge compares them with those of their nodes.
//!
//! That is the nearest environment of another node, usually a template's, in the line of each environment. It is kept as long
//! as one of these exists. Not for the merge.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Mode;
use crate::pool::{Environment, NodeLock, Origin, Pool, kept_bases, stage};

/// The environments that other environments come from, by UUID.
#[derive(Debug)]
pub(super) struct Needed(BTreeMap<String, Origin>);

impl Needed {
    /// Finds which of these environments are needed by others.
    pub(super) fn new(pool: &Pool, these: &[Environment]) -> Result<Self> {
        // Only the environments of templates are kept; looking at all the others takes time.
        match these.iter().any(|env| env.template) {
            true => needed_without(pool, these).map(Self),
            false => Ok(Self(BTreeMap::new())),
        }
    }

    fn has(&self, env: &Environment) -> bool {
        env.template && env.uuid().is_some_and(|uuid| self.0.contains_key(uuid))
    }

    /// Deletes an environment that no name leads to, or keeps it if it is needed; durable when it returns.
    pub(super) fn discard(&self, pool: &Pool, lock: &NodeLock, env: &Environment) -> Result<()> {
        match self.has(env) {
            true => kept_bases::keep(pool, lock, env),
            false => {
                let node = env.dir.ancestors().nth(2).unwrap_or(&env.dir);
                stage::discard_env(lock, &env.dir, node)
            }
        }
    }

    /// Moves the needed environments out of their node.
    pub(super) fn keep(&self, pool: &Pool, lock: &NodeLock, envs: &[Environment]) -> Result<()> {
        let mut needed = envs.iter().filter(|env| self.has(env));
        needed.try_for_each(|env| kept_bases::keep(pool, lock, env))
    }
}

/// Returns what environments other than these come from, by UUID.
fn needed_without(pool: &Pool, these: &[Environment]) -> Result<BTreeMap<String, Origin>> {
    let mut found = BTreeMap::new();
    for node in pool.nodes()? {
        if node.is_template() {
            continue;
        }
        // The environments of an unreadable node cannot be merged.
        for env in node.environments().unwrap_or_default() {
            if these.iter().any(|this| this.dir == env.dir) {
                continue;
            }
            let mut line = env
                .record
                .iter()
                .flat_map(|record| record.origin.iter().chain(&record.lineage));
            let base = line.find(|origin| origin.node != env.node.as_str());
            found.extend(base.map(|base| (base.uuid.clone(), base.clone())));
        }
    }
    Ok(found)
}

/// Deletes the kept environments that nothing needs any more.
pub(super) fn forget_unneeded(pool: &Pool, mode: Mode) -> Result<()> {
    let all = kept_bases::all(pool)?;
    if all.is_empty() {
        return Ok(());
    }
    let lock = pool.lock(mode.wait)?;
    let needed = needed_without(pool, &[])?;
    for uuid in all.iter().filter(|uuid| !needed.contains_key(*uuid)) {
        kept_bases::forget(pool, &lock, uuid)?;
    }
    Ok(())
}

/// Returns the note about kept environments.
///
/// # Errors
/// If the pool's nodes cannot be read.
pub fn note(pool: &Pool) -> Result<Option<String>> {
    let all = kept_bases::all(pool)?;
    if all.is_empty() {
        return Ok(None);
    }
    let needed = needed_without(pool, &[])?;
    let names: Vec<String> = all
        .iter()
        .filter_map(|uuid| needed.get(uuid))
        .map(ToString::to_string)
        .collect();
    Ok((!names.is_empty()).then(|| {
        format!(
            "kept hidden as the common origin for merges, until no node has a system made from it: {}",
            names.join(", ")
        )
    }))
}
