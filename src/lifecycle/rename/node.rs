//! Renaming a node: the new one is made complete with copies of all environments, by one rename; then its names lead there.
//!
//! In between, the new node's record names the old one, and only one of the two is shown. Not for one environment.

use std::time::Duration;

use anyhow::Result;

use super::{Renamed, fill, of_record, refuse};
use crate::failure::Failure;
use crate::lifecycle::plan::Plan;
use crate::lifecycle::{Mode, Outcome, local, protection};
use crate::pool::lock::Share;
use crate::pool::{
    EnvId, Environment, Node, NodeLock, NodeName, Pool, foreign, layout, stage, state,
};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq, tftp};
use crate::staged::{Identity, StagedNode, Target};

/// Renames a node, with all its environments.
pub fn node(pool: &Pool, old: &NodeName, new: &NodeName, mode: Mode) -> Result<Outcome<Renamed>> {
    local::refuse_rename(&pool.node(old)?)?;
    // Before the locks: locking the same name twice would wait for itself.
    refuse_taken(pool, old, new)?;
    pool.refuse_work_in(old, mode.patience())?;
    let locks = mode.locks(pool, || lock_both(pool, old, new, mode))?;
    pool.refuse_work_in(old, Duration::ZERO)?;
    let node = pool.node(old)?;
    node.refuse_unknown_active()?;
    foreign::refuse(&node.name, &foreign::in_node(&node.dir)?)?;
    let envs = node.environments()?;
    for env in &envs {
        refuse(&node, env)?;
    }
    refuse_taken(pool, old, new)?;
    let is_begun = is_begun(pool, old, new);
    let mut plan = Plan::new();
    if !is_begun {
        plan.step(
            match envs.as_slice() {
                [only] => format!("make {new} with the environment of {old}, {}", only.name),
                envs => format!("make {new} with the {} environments of {old}", envs.len()),
            },
            |making: &mut Making| making.make(pool, &node, &envs, new),
        );
        plan.foresee(|| {
            envs.iter().try_for_each(|env| {
                let becomes = Target {
                    pool,
                    node: new,
                    record: &node.record,
                    env: &env.name,
                    boots_next: env.active,
                };
                becomes.foresee(env, &env.record_for_change()?)
            })
        });
    }
    plan.step(format!("lead the names of {old} to {new}"), |making| {
        if is_begun {
            making.tell_of_records(&pool.node(new)?)?;
        }
        let shared = pool.lock(mode.wait)?;
        let now = pool.node(new)?;
        if let Some(active) = now.active_if_any()? {
            let warnings = publish::export(pool, &shared, &now, &active)?;
            making.done.warnings.extend(warnings);
        }
        let mut run = Publishing::begin(pool, Some(&shared))?;
        tftp::bring_node_up_to_date(&mut run, &now)?;
        dnsmasq::bring_node_up_to_date(&mut run, &now)?;
        making.done.warnings.append(&mut run.done.warnings);
        let warnings = publish::withdraw_below(pool, &shared, &[&node.dir])?;
        making.done.warnings.extend(warnings);
        Ok(())
    });
    plan.step(format!("destroy {old}"), |making| {
        let (of_old, of_new) = &making.locks;
        stage::discard_node(of_old, &node.dir)?;
        state::forget_node(of_old, &node.state)?;
        let now = pool.node(new)?;
        let mut record = now.record.clone();
        record.replaces = None;
        now.store(of_new, &record)
    });
    let making = |locks| Making {
        locks,
        notes: Sentences::default(),
        warnings: Sentences::default(),
        done: Renamed::to(new.clone().into()),
    };
    let done = plan.carry_out(locks.map(making))?;
    Ok(done.map(Making::into_renamed))
}

/// What the steps work with.
struct Making {
    /// The locks of the old name and of the new one.
    locks: (NodeLock, NodeLock),
    notes: Sentences,
    warnings: Sentences,
    done: Renamed,
}

impl Making {
    /// Makes the new node, with copies of all environments.
    fn make(
        &mut self,
        pool: &Pool,
        node: &Node,
        envs: &[Environment],
        new: &NodeName,
    ) -> Result<()> {
        let mut renamed = node.record.clone();
        renamed.replaces = Some(node.name.to_string());
        let staged = StagedNode::new(pool, new, &renamed)?;
        let mut active = None;
        for env in envs {
            let copy = staged.environment(&env.name, env.active)?;
            let (content, notes) = fill(&copy, env, Identity::OldName)?;
            let mut complete = copy.complete(content)?;
            complete.record.replaces = None;
            match env.active {
                true => active = Some(staged.add_active(&copy, &complete)?),
                false => staged.add(&copy, &complete)?,
            }
            let id = EnvId::new(new, &env.name);
            self.notes.add(&id, notes);
            self.warnings.add(&id, complete.warnings);
        }
        if !node.record.data.is_empty() {
            staged.copy_data(node)?;
        }
        // An environment may have been booted meanwhile, since no link leads to the new node yet.
        for env in envs {
            protection::refuse_booted(node, env)?;
        }
        staged.publish(&self.locks.1, active.as_ref())
    }

    fn into_renamed(self) -> Renamed {
        let mut done = self.done;
        done.notes.splice(0..0, self.notes.into_lines());
        done.warnings.splice(0..0, self.warnings.into_lines());
        done
    }

    /// Warns of environments that an interrupted rename has made: it told nobody.
    fn tell_of_records(&mut self, made: &Node) -> Result<()> {
        for env in made.environments()? {
            self.warnings.add(&env.id(), of_record(&env));
        }
        Ok(())
    }
}

/// Sentences about environments, each once with all environments that it is about.
#[derive(Debug, Default)]
struct Sentences(Vec<(String, Vec<EnvId>)>);

impl Sentences {
    fn add(&mut self, id: &EnvId, sentences: Vec<String>) {
        for sentence in sentences {
            match self.0.iter_mut().find(|(known, _)| *known == sentence) {
                Some((_, ids)) => ids.push(id.clone()),
                None => self.0.push((sentence, vec![id.clone()])),
            }
        }
    }

    fn into_lines(self) -> Vec<String> {
        let line = |(sentence, ids): (String, Vec<EnvId>)| match ids.as_slice() {
            [only] => format!("{only}: {sentence}"),
            [first, others @ ..] => format!("{first} and {} more: {sentence}", others.len()),
            [] => sentence,
        };
        self.0.into_iter().map(line).collect()
    }
}

/// Returns whether an interrupted rename of this node to this name has made the new node already: only one of the two is
/// shown from then on.
///
/// Compares the environments' UUIDs too: a node made later under the old name is another node, and must stay.
fn is_begun(pool: &Pool, old: &NodeName, new: &NodeName) -> bool {
    let environments = |node: &NodeName| pool.node(node)?.environments();
    let (Ok(made), Ok(there), Ok(copies)) = (pool.node(new), environments(old), environments(new))
    else {
        return false;
    };
    let is_copied =
        |env: &Environment| env.uuid().is_some() && copies.iter().any(|c| c.uuid() == env.uuid());
    made.record.replaces.as_deref() == Some(old.as_str())
        && !there.is_empty()
        && there.iter().all(is_copied)
}

fn refuse_taken(pool: &Pool, old: &NodeName, new: &NodeName) -> Result<()> {
    if is_begun(pool, old, new) {
        return Ok(());
    }
    match layout::node(pool.root(), new).symlink_metadata() {
        Ok(_) => Err(Failure::refused(format!("{new} already exists")).into()),
        Err(_) => Ok(()),
    }
}

/// Takes the locks of both names; returns the old one's first.
fn lock_both(
    pool: &Pool,
    old: &NodeName,
    new: &NodeName,
    mode: Mode,
) -> Result<(NodeLock, NodeLock)> {
    let take = |name| pool.lock_node(name, Share::Alone, mode.wait);
    if old < new {
        return Ok((take(old)?, take(new)?));
    }
    let second = take(new)?;
    Ok((take(old)?, second))
}
