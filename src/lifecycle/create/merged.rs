//! `create --merge`: another node's system for an existing node, with the changes that the node made in its own system.
//!
//! The system is copied into a stage; the changes of the node's active environment are merged there, and only the result is
//! published. Promises that no result with conflicts is activated. The rules of a merge are in [`merge`].

use anyhow::{Context, Result};

use super::Making;
use super::chosen::Chosen;
use crate::failure::Failure;
use crate::lifecycle::merge::{self, Merged};
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome, activate, activate_new};
use crate::merge::decide::Conflicts;
use crate::pool::{EnvId, Operand, Pool};
use crate::staged::Target;

/// What a node has changed.
pub(super) struct Changed {
    /// The environment that it changed.
    env: EnvId,
    /// Whether packages that it added or removed are to be brought.
    with_packages: bool,
}

impl Chosen {
    /// Returns what the node has changed.
    ///
    /// # Errors
    /// If there is none, the node's own system is copied, or what was changed cannot be merged.
    pub(super) fn changed(&self, pool: &Pool) -> Result<Changed> {
        let node = &self.node;
        if self.source.node == *node {
            return Err(Failure::usage(format!(
                "{} is {node}'s own: it has what {node} changed; netbe merge takes what another one changed",
                self.source
            ))
            .hint(format!("netbe list {node}"))
            .into());
        }
        let changed = self.own.as_ref().ok_or_else(|| {
            let why = match &self.has_no_own {
                None => "does not exist yet".to_string(),
                Some(why) => format!("has no active environment that can be read ({why})"),
            };
            Failure::refused(format!(
                "{node} {why}, so there is nothing to merge: leave out --merge"
            ))
        })?;
        let env = changed.id();
        // Before anything is made. The copy will be what its source is.
        let request = self.merge_request(&env);
        let with_packages = merge::refuse_into_copy(pool, &request, self.source.clone())?;
        Ok(Changed { env, with_packages })
    }

    /// Adds the steps that merge into the copy, publish it, and have the node boot it next unless there are conflicts.
    pub(super) fn merge_steps<'a>(
        &'a self,
        plan: &mut Plan<'a, Making>,
        pool: &'a Pool,
        Changed {
            env: from,
            with_packages,
        }: &'a Changed,
        mode: Mode,
    ) {
        let id = self.id();
        let mut sentences = vec![format!("merge into {id} what {from} has changed")];
        if *with_packages {
            sentences.push(format!(
                "install and remove in it the packages that {} has added and removed",
                self.node
            ));
        }
        plan.steps(sentences, move |making| {
            let merged = self.merge(pool, from, making, mode)?;
            self.note_merged(pool, making, merged)
        });
        if !self.packages {
            let target = Target {
                boots_next: self.boots_next(),
                ..self.target(pool)
            };
            plan.foresee(move || target.foresee(&self.source, &self.origin.off_disk()));
        }
        if self.activate {
            let sentence = format!("activate {id}, unless both changed the same");
            plan.step(sentence, move |making| {
                self.activate_merged(pool, making, mode)
            });
        }
        if let Some((how, back_to)) = &self.trial {
            let sentence = format!(
                "lead {} to {id} for its next boot, then to {back_to}, unless both changed the same",
                self.node
            );
            plan.step(sentence, move |making| {
                if making.is_free_of_conflicts() {
                    making.done.begun = self.lead(pool, *how, mode)?;
                }
                Ok(())
            });
        }
    }

    fn merge_request(&self, from: &EnvId) -> merge::Request {
        merge::Request {
            from: from.clone(),
            to: self.id(),
            name: Some(self.env.clone()),
            paths: Vec::new(),
            conflicts: Conflicts::Beside,
            packages: self.packages,
            description: self.description.clone(),
            boots_next: self.boots_next(),
        }
    }

    fn merge(&self, pool: &Pool, from: &EnvId, making: &mut Making, mode: Mode) -> Result<Merged> {
        let (staged, complete) = making.held.take().context("it was not made")?;
        let (lock, _) = making.locks.take().context("the lock was given back")?;
        let request = self.merge_request(from);
        let merged = merge::into_staged(pool, &request, (staged, complete), lock, mode)?;
        Ok(Merged {
            // The environment of this name is the target.
            to: self.source.id(),
            ..merged
        })
    }

    /// Notes what was merged; messages of both steps are reported once.
    fn note_merged(&self, pool: &Pool, making: &mut Making, mut merged: Merged) -> Result<()> {
        let made = &mut making.done;
        merged.notes.retain(|note| !made.notes.contains(note));
        merged
            .warnings
            .retain(|warning| !made.warnings.contains(warning));
        let env = pool.environment(&self.node, &self.env)?;
        let record = env.record_for_change()?;
        made.would_boot = record.would_not_boot.is_empty();
        made.merged = Some(merged);
        Ok(())
    }

    fn activate_merged(&self, pool: &Pool, making: &mut Making, mode: Mode) -> Result<()> {
        if !making.is_free_of_conflicts() {
            return Ok(());
        }
        let id = self.id();
        let operand: Operand = id.clone().into();
        let done = activate::activate(pool, Some(&operand), false, mode)
            .map_err(|e| activate_new::only_made(&id, "", &e))?;
        if let Outcome::Done(activated) = done {
            making.done.active = true;
            making.done.notes.extend(activated.notes);
            making.done.warnings.extend(activated.warnings);
        }
        Ok(())
    }
}

impl Making {
    fn is_free_of_conflicts(&self) -> bool {
        let merged = self.done.merged.as_ref();
        merged.is_some_and(|merged| merged.conflicts.is_empty())
    }
}
