//! `create --merge`: another node's system for an existing node, with the changes that the node made in its own system.
//!
//! The system is copied into a stage; the changes of the node's active environment are merged there, and only the result is
//! published. Promises that no result with conflicts is activated. The rules of a merge are in [`merge`].

use anyhow::{Context, Result};

use super::chosen::Chosen;
use super::{Created, Making, Request};
use crate::failure::Failure;
use crate::lifecycle::merge::{self, Merged};
use crate::lifecycle::{Mode, Outcome, activate, activate_new};
use crate::merge::decide::Conflicts;
use crate::pool::{EnvId, Operand, Pool};

/// Makes an environment, and merges what its node has changed.
pub(super) fn create(pool: &Pool, request: &Request, mode: Mode) -> Result<Outcome<Created>> {
    let chosen = Chosen::new(pool, request)?;
    let from = changed_env(&chosen)?;
    let first = Request {
        target: chosen.id().into(),
        activate: false,
        how: None,
        ..request.clone()
    };
    let mut making = match super::make(pool, &first, mode)? {
        Outcome::Done(making) => making,
        Outcome::Planned(mut steps) => {
            steps.extend(chosen.steps_after(&from));
            return Ok(Outcome::Planned(steps));
        }
    };
    let merged = chosen.merge(pool, &from, &mut making, mode)?;
    chosen
        .finish(pool, making.done, merged, mode)
        .map(Outcome::Done)
}

/// Returns the environment that the node has changed.
///
/// # Errors
/// If there is none, or the node's own system is copied.
fn changed_env(chosen: &Chosen) -> Result<EnvId> {
    let node = &chosen.node;
    if chosen.source.node == *node {
        return Err(Failure::usage(format!(
            "{} is {node}'s own: it has what {node} changed; netbe merge takes what another one changed",
            chosen.source
        ))
        .hint(format!("netbe list {node}"))
        .into());
    }
    let source = chosen.own.as_ref().ok_or_else(|| {
        let why = match chosen.existing {
            None => "does not exist yet",
            Some(_) => "has no active environment that can be read",
        };
        Failure::refused(format!(
            "{node} {why}, so there is nothing to merge: leave out --merge"
        ))
    })?;
    Ok(source.id())
}

impl Chosen {
    fn steps_after(&self, from: &EnvId) -> Vec<String> {
        let id = self.id();
        let mut steps = vec![format!("merge into {id} what {from} has changed")];
        if self.packages {
            steps.push(format!(
                "install and remove in it the packages that {} has added and removed",
                self.node
            ));
        }
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

    fn merge(&self, pool: &Pool, from: &EnvId, making: &mut Making, mode: Mode) -> Result<Merged> {
        let (staged, complete) = making.held.take().context("it was not made")?;
        let (lock, _) = making.locks.take().context("the lock was given back")?;
        let request = merge::Request {
            from: from.clone(),
            to: self.id(),
            name: Some(self.env.clone()),
            paths: Vec::new(),
            conflicts: Conflicts::Beside,
            packages: self.packages,
            description: self.description.clone(),
            boots_next: self.activate || self.trial.is_some(),
        };
        let merged = merge::into_staged(pool, &request, (staged, complete), lock, mode)?;
        Ok(Merged {
            // The environment of this name is the target.
            to: self.source.id(),
            ..merged
        })
    }

    /// Has the node boot it next, as requested, unless there are conflicts.
    fn finish(
        &self,
        pool: &Pool,
        mut made: Created,
        mut merged: Merged,
        mode: Mode,
    ) -> Result<Created> {
        // Messages of both steps are reported once.
        merged.notes.retain(|note| !made.notes.contains(note));
        merged
            .warnings
            .retain(|warning| !made.warnings.contains(warning));
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
