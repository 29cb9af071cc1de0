//! `create --merge`: another node's system for a node that exists, with what the node has changed in its own.
//!
//! Made in two steps, each whole: the environment without it, under a name of its own, then the merge of what the node's
//! active environment has changed; the first is destroyed after that. Promises that nothing is booted where both changed the
//! same file. The rules of a merge are in [`merge`].

use anyhow::{Context, Result};

use super::chosen::Chosen;
use super::{Created, Request};
use crate::failure::{self, Failure, Kind};
use crate::lifecycle::merge::{self, Merged};
use crate::lifecycle::{Mode, Outcome, activate, activate_new, destroy, rename};
use crate::merge::decide::Conflicts;
use crate::pool::{EnvId, EnvName, Operand, Pool};

/// What the name of the environment without the node's changes ends with.
const UNMERGED: &str = ".unmerged";

/// Makes an environment, and merges what its node has changed.
pub(super) fn create(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Created>> {
    let chosen = Chosen::new(pool, request)?;
    let from = own(&chosen)?;
    let name = format!("{}{UNMERGED}", chosen.env);
    let name: EnvName = name
        .parse()
        .map_err(|e| Failure::usage(format!("{name}: {e}")))?;
    let plain = EnvId::new(&chosen.node, &name);
    let mut steps = remove_left(pool, &plain, mode)?;
    let named = match mode.dry_run {
        // The name between is nobody's concern.
        true => chosen.id(),
        false => plain.clone(),
    };
    let first = Request {
        target: named.into(),
        activate: false,
        how: None,
        merge: false,
        ..request.clone()
    };
    let made = match super::create(pool, &first, mode)? {
        Outcome::Done(made) => made,
        Outcome::Planned(first) => {
            steps.extend(first);
            steps.extend(chosen.steps_after(&from));
            return Ok(Outcome::Planned(steps));
        }
    };
    let merged = chosen
        .merge(pool, &from, &plain, mode)
        .and_then(|merged| settle(pool, &plain, &chosen.id(), merged, mode));
    match merged {
        Ok(merged) => chosen.finish(pool, made, merged, mode).map(Outcome::Done),
        Err(e) => {
            // Best effort: the first error is the one to report, and the second is of the same kind.
            let _ = destroy::environments(pool, &[plain.into()], mode);
            Err(e)
        }
    }
}

/// Destroys what an interrupted command left under the name of the first step; returns the steps of a dry run.
fn remove_left(pool: &Pool, plain: &EnvId, mode: Mode) -> Result<Vec<String>> {
    match pool.environment(&plain.node, &plain.env) {
        Err(e) if failure::is(&e, Kind::NotFound) => return Ok(Vec::new()),
        found => drop(found?),
    }
    Ok(
        match destroy::environments(pool, &[plain.clone().into()], mode)? {
            Outcome::Planned(steps) => steps,
            Outcome::Done(_) => Vec::new(),
        },
    )
}

/// Returns the environment that the node has changed.
///
/// # Errors
/// If there is none, or the node's own system is copied.
fn own(chosen: &Chosen) -> Result<EnvId> {
    let node = &chosen.node;
    if chosen.source.node == *node {
        return Err(Failure::usage(format!(
            "{} is {node}'s own: it has what {node} changed; netbe merge takes what another one changed",
            chosen.source
        ))
        .hint(format!("netbe list {node}"))
        .into());
    }
    let own = chosen.own.as_ref().ok_or_else(|| {
        let why = match chosen.existing {
            None => "does not exist yet",
            Some(_) => "has no active environment that can be read",
        };
        Failure::refused(format!(
            "{node} {why}, so there is nothing to merge: leave out --merge"
        ))
    })?;
    Ok(own.id())
}

/// Leaves one environment, of the name that was asked for.
fn settle(
    pool: &Pool,
    plain: &EnvId,
    id: &EnvId,
    mut merged: Merged,
    mode: Mode,
) -> Result<Merged> {
    if merged.id.is_none() {
        // The node has changed nothing that it does not have.
        rename::environment(pool, &plain.node, &plain.env, &id.env, mode)?;
        return Ok(merged);
    }
    if let Err(e) = destroy::environments(pool, &[plain.clone().into()], mode) {
        let left = format!("{plain}, without what was merged, is left: {e:#}");
        merged.warnings.push(left);
    }
    Ok(merged)
}

impl Chosen {
    fn steps_after(&self, from: &EnvId) -> Vec<String> {
        let id = self.id();
        let mut steps = vec![format!("merge into {id} what {from} has changed")];
        if self.activate {
            steps.push(format!("activate {id}, unless both changed the same"));
        }
        if let Some((_, back_to)) = &self.trial {
            steps.push(format!(
                "lead {} to {id} for its next boot, then to {back_to}, unless both changed the same",
                self.node
            ));
        }
        steps
    }

    fn merge(&self, pool: &Pool, from: &EnvId, plain: &EnvId, mode: Mode) -> Result<Merged> {
        let request = merge::Request {
            from: from.clone(),
            to: plain.clone(),
            name: Some(self.env.clone()),
            paths: Vec::new(),
            conflicts: Conflicts::Beside,
            packages: false,
            description: self.description.clone(),
            boots_next: self.activate || self.trial.is_some(),
        };
        match merge::merge(pool, &request, mode)? {
            Outcome::Done(mut merged) => {
                // By what it is of: the one between is gone.
                merged.to = self.source.id();
                Ok(merged)
            }
            Outcome::Planned(_) => anyhow::bail!("a merge was only planned"),
        }
    }

    /// Has the node boot it next, as asked for, where nothing is left to be decided.
    fn finish(
        &self,
        pool: &Pool,
        mut made: Created,
        mut merged: Merged,
        mode: Mode,
    ) -> Result<Created> {
        // What both steps found is said once.
        merged.notes.retain(|note| !made.notes.contains(note));
        merged.warnings.retain(|said| !made.warnings.contains(said));
        made.id = self.id();
        let operand: Operand = made.id.clone().into();
        let only_made = |how: &str, e| activate_new::only_made(&self.id(), how, &e);
        if merged.conflicts.is_empty() && self.activate {
            let done = activate::activate(pool, Some(&operand), false, mode)
                .map_err(|e| only_made("", e))?;
            if let Outcome::Done(activated) = done {
                made.active = true;
                made.notes.extend(activated.notes);
                made.warnings.extend(activated.warnings);
            }
        } else if let (true, Some((how, _))) = (merged.conflicts.is_empty(), &self.trial) {
            made.begun = self.lead(pool, *how, mode)?;
        }
        let env = pool.environment(&self.node, &self.env)?;
        let record = env.record.as_ref().context("its record was lost")?;
        made.would_boot = record.would_not_boot.is_empty();
        made.merged = Some(merged);
        Ok(made)
    }
}
