//! Renaming an environment or a node: `rename`.
//!
//! Boot files, fstab, exports and links contain the environment's path, and files of a running environment are never
//! edited. So the new environment is a new pair of snapshots with new boot files, published by one rename; then the
//! links are changed, and the old one is deleted. In between, the new one's record names the old one, and only one of
//! the two is shown. Refused while booted or maybe booted.

mod node;

use std::path::Path;

use anyhow::{Context, Result};

use super::in_use::InUse;
use super::plan::Plan;
use super::{Held, Mode, Outcome, activate, deploy, local, on_card, protection};
use crate::fs::atomic::Durable;
use crate::fs::path_error::if_exists;
use crate::pool::base::Base;
use crate::pool::{
    EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool, data_store, foreign,
    layout, origin_texts, stage,
};
use crate::publish;
use crate::staged::{self, Content, Identity, Made, StagedEnvironment, Target};

pub use node::node;

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The node, or the environment, by its new name.
    pub new: Operand,
    /// Notes, a sentence each.
    pub notes: Vec<String>,
    /// Warnings, a sentence each.
    pub warnings: Vec<String>,
}

impl Renamed {
    fn to(new: Operand) -> Self {
        Self {
            new,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Renames an environment.
pub fn environment(
    pool: &Pool,
    node: &NodeName,
    old: &EnvName,
    new: &EnvName,
    mode: Mode,
) -> Result<Outcome<Renamed>> {
    pool.environment(node, old)?;
    let lock = mode.lock_idle(pool, node, old)?;
    let node = pool.node(node)?;
    node.refuse_unknown_active()?;
    let env = node.environment(old)?;
    refuse(&node, &env)?;
    local::refuse_loaders_own(pool, &env)?;
    let target = Operand {
        node: node.name.clone(),
        env: Some(new.clone()),
    };
    let half_done = half_done(&node, &env, new)?;
    if half_done.is_none() {
        staged::free_name(pool, Some(&node), &target)?;
    }
    let becomes = Target {
        pool,
        node: &node.name,
        record: &node.record,
        env: new,
        boots_next: env.active,
    };
    let (node, env) = (&node, &env);
    let mut plan = Plan::new();
    match half_done {
        Some(made) if !env.active => plan.step(
            format!("destroy {env}, whose copy {target} is there already"),
            move |making: &mut Making| {
                making.done.warnings.extend(of_record(&made));
                making.take_away(pool, node, env, mode)?;
                settle(&making.lock, node, new)
            },
        ),
        half_done => plan_environment(&mut plan, (node, env), becomes, half_done, mode),
    }
    let making = |lock| Making {
        lock,
        staged: None,
        made: None,
        done: Renamed::to(target.clone()),
    };
    Ok(plan.carry_out(lock.map(making))?.map(|making| making.done))
}

/// What the steps that give an environment another name work with.
struct Making {
    staged: Option<(StagedEnvironment, Content)>,
    made: Option<Made>,
    lock: NodeLock,
    done: Renamed,
}

impl Making {
    /// Unpublishes and deletes an environment of the two, to which no link leads.
    fn take_away(&mut self, pool: &Pool, node: &Node, env: &Environment, mode: Mode) -> Result<()> {
        let shared = pool.lock(mode.wait)?;
        let warnings = publish::withdraw(pool, &shared, &[env])?;
        self.done.warnings.extend(warnings);
        drop(shared);
        stage::discard_env(&self.lock, &env.dir, &node.dir)
    }
}

fn plan_environment<'a>(
    plan: &mut Plan<'a, Making>,
    (node, env): (&'a Node, &'a Environment),
    becomes: Target<'a>,
    half_done: Option<Environment>,
    mode: Mode,
) {
    let (pool, new) = (becomes.pool, becomes.env);
    let target = EnvId::new(&node.name, new);
    plan.step(
        format!("snapshot both halves of {env} as {target}"),
        move |making| {
            // An interrupted rename's copy is made anew: nothing leads to it yet, and the original may have changed since.
            if let Some(made) = &half_done {
                making.take_away(pool, node, made, mode)?;
            }
            let staged = StagedEnvironment::in_node(becomes, node)?;
            let (content, notes) = fill(&staged, env, Identity::Same)?;
            making.done.notes.extend(notes);
            making.staged = Some((staged, content));
            Ok(())
        },
    );
    plan.foresee(move || becomes.foresee(env, &env.record_for_change()?));
    plan.step(
        format!("write the boot files and fstab of {target}"),
        move |making| {
            let (staged, content) = making.staged.take().context("it was not snapshotted")?;
            let complete = staged.complete(content)?;
            // The original may have been booted meanwhile, since no name leads to the copy yet.
            protection::refuse_booted(node, env)?;
            let mut made = staged.publish(&making.lock, complete)?;
            // Not its notes: they are about a system that is the same as under the old name.
            making.done.warnings.append(&mut made.warnings);
            making.made = Some(made);
            Ok(())
        },
    );
    if env.active {
        let sentence = format!("lead everything to {target} that led to {env}");
        plan.step(sentence, move |making| {
            // Read by its path, since a list contains only one of the two.
            let renamed = Environment::observe(node, new)?
                .with_context(|| format!("finding {target} again"))?;
            let made = making.made.as_ref().context("it was not made")?;
            let mut held = Held::take(pool, &making.lock, mode)?;
            activate::switch(&mut held, node, &made.verified(&renamed)?)?;
            making.done.warnings.append(&mut held.warnings);
            // It may have been booted just before the switch; then it stays until the rename is repeated.
            protection::refuse_booted(node, env)
        });
    }
    plan.step(format!("destroy {env}"), move |making| {
        making.take_away(pool, node, env, mode)?;
        settle(&making.lock, node, new)
    });
}

/// Returns the environment that an interrupted rename to this name has made already. Only one of the two is shown, so a
/// user who still sees the old name repeats the rename.
fn half_done(node: &Node, env: &Environment, new: &EnvName) -> Result<Option<Environment>> {
    let made = Environment::observe(node, new)?;
    Ok(made.filter(|made| {
        let replaces = made.record.as_ref().and_then(|r| r.replaces.as_deref());
        replaces == Some(env.name.as_str()) && made.uuid() == env.uuid()
    }))
}

/// Returns why an environment that an interrupted rename has made would not boot, a warning each: it told nobody.
fn of_record(made: &Environment) -> Vec<String> {
    let reasons = made.record.iter().flat_map(|r| &r.would_not_boot);
    reasons
        .map(|reason| format!("it would not boot: {reason}"))
        .collect()
}

fn refuse(node: &Node, env: &Environment) -> Result<()> {
    node.refuse_lost()?;
    on_card::refuse(node, env)?;
    protection::refuse_booted(node, env)?;
    env.require_sound()?;
    deploy::refuse_on_disk(env, "which reports by this name")?;
    protection::refuse_pending(node, env)?;
    foreign::refuse(env, &foreign::in_env(&env.dir)?)?;
    InUse::look(&env.dir)?.refuse(env)
}

/// Fills a stage with the halves and metadata of an environment; returns notes, too, a sentence each.
fn fill(
    staged: &StagedEnvironment,
    env: &Environment,
    identity: Identity,
) -> Result<(Content, Vec<String>)> {
    let before = env.record_for_change()?;
    let notes = staged.snapshot(env)?;
    // An unusable base is left out: the next export is a full stream, which is no reason to refuse the rename.
    if let Ok(Some(base)) = Base::read(env) {
        base.copy(&staged.dir().join(layout::BASE))
            .with_context(|| format!("copying the base of {env}"))?;
    }
    data_store::copy_kept(&env.dir, staged.dir())
        .with_context(|| format!("copying the data kept with {env}"))?;
    // A hard link to the log, if there is one.
    let log = |dir: &Path| dir.join(layout::UPGRADE_LOG);
    if_exists(std::fs::hard_link(log(&env.dir), log(staged.dir())))
        .with_context(|| format!("keeping the log of {env}"))?;
    origin_texts::carry(&env.dir, staged.dir())
        .with_context(|| format!("keeping what the origin of {env} said"))?;
    let mut record = before.clone();
    record.replaces = Some(env.name.to_string());
    let content = Content {
        record,
        before,
        identity,
    };
    Ok((content, notes))
}

/// Removes the mark of an unfinished rename from an environment's record.
pub fn settle(lock: &NodeLock, node: &Node, name: &EnvName) -> Result<()> {
    // Read by its name, since a list contains only one of the two.
    let env = Environment::observe(node, name)?
        .with_context(|| format!("finding {}/{name} again", node.name))?;
    let mut record = env.record_for_change()?;
    record.replaces = None;
    env.store(lock, &record, Durable::AtOnce)
}
