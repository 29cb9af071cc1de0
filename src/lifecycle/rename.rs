//! Renaming an environment or a node: `rename`.
//!
//! Boot files, fstab, exports and links contain the environment's path, and files of a running environment are never
//! edited. So the new environment is a new pair of snapshots with new boot files, published by one rename; then the
//! links are changed, and the old one is deleted. In between, the new one's record names the old one, and only one of
//! the two is shown. Refused while booted or maybe booted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::in_use::InUse;
use super::plan::Plan;
use super::{Held, Mode, Outcome, activate, deploy, local, on_card, protection};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::fs::path_error::if_exists;
use crate::pool::base::Base;
use crate::pool::data_store;
use crate::pool::foreign;
use crate::pool::lock::Share;
use crate::pool::origin_texts;
use crate::pool::record;
use crate::pool::record::EnvRecord;
use crate::pool::stage;
use crate::pool::state;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool, layout};
use crate::publish::run::Publishing;
use crate::publish::{self, dnsmasq, tftp};
use crate::staged::{self, Content, Identity, Made, StagedEnvironment, StagedNode, Target};

/// Renames an environment; returns the new `NODE/ENV`.
pub fn environment(
    pool: &Pool,
    node: &NodeName,
    old: &EnvName,
    new: &EnvName,
    mode: Mode,
) -> Result<Outcome<String>> {
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
            move |_| {
                take_away(pool, node, env, mode)?;
                settle(pool, &made.dir)
            },
        ),
        half_done => plan_environment(&mut plan, (node, env), becomes, half_done, mode),
    }
    let making = |lock| Making {
        lock,
        staged: None,
        made: None,
    };
    let done = plan.carry_out(lock.map(making))?;
    Ok(done.map(|_| target.to_string()))
}

/// What the steps that give an environment another name work with.
struct Making {
    staged: Option<(StagedEnvironment, Content)>,
    made: Option<Made>,
    lock: NodeLock,
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
                take_away(pool, node, made, mode)?;
            }
            let staged = StagedEnvironment::in_node(becomes, node)?;
            let content = fill(&staged, env, Identity::Same)?;
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
            making.made = Some(staged.publish(&making.lock, complete)?);
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
            // It may have been booted just before the switch; then it stays until the rename is repeated.
            protection::refuse_booted(node, env)
        });
    }
    plan.step(format!("destroy {env}"), move |_| {
        take_away(pool, node, env, mode)?;
        settle(pool, &layout::env(pool.root(), &node.name, new))
    });
}

/// Renames a node, with all its environments.
pub fn node(pool: &Pool, old: &NodeName, new: &NodeName, mode: Mode) -> Result<Outcome<String>> {
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
            |(_, lock): &mut (NodeLock, NodeLock)| make_node(pool, lock, &node, &envs, new),
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
    plan.step(format!("lead the names of {old} to {new}"), |_| {
        let shared = pool.lock(mode.wait)?;
        let now = pool.node(new)?;
        if let Some(active) = now.active_if_any()? {
            publish::export(pool, &shared, &now, &active)?;
        }
        let mut run = Publishing::begin(pool, Some(&shared))?;
        tftp::bring_node_up_to_date(&mut run, &now)?;
        dnsmasq::bring_node_up_to_date(&mut run, &now)?;
        publish::withdraw_below(pool, &shared, &[&node.dir])?;
        Ok(())
    });
    plan.step(format!("destroy {old}"), |(_, lock)| {
        stage::discard(&node.dir, &layout::nodes(pool.root()))?;
        state::forget_node(&node.state)?;
        let now = pool.node(new)?;
        let mut record = now.record.clone();
        record.replaces = None;
        now.store(lock, &record)
    });
    Ok(plan.carry_out(locks)?.map(|_locks| new.to_string()))
}

/// Makes the new node, with copies of all environments.
fn make_node(
    pool: &Pool,
    lock: &NodeLock,
    node: &Node,
    envs: &[Environment],
    new: &NodeName,
) -> Result<()> {
    let mut renamed = node.record.clone();
    renamed.replaces = Some(node.name.to_string());
    let staged = StagedNode::new(pool, new, &renamed)?;
    for env in envs {
        let copy = staged.environment(&env.name, env.active)?;
        let mut complete = copy.complete(fill(&copy, env, Identity::OldName)?)?;
        complete.record.replaces = None;
        staged.add(&copy, &complete)?;
    }
    if !node.record.data.is_empty() {
        staged.copy_data(node)?;
    }
    // An environment may have been booted meanwhile, since no link leads to the new node yet.
    for env in envs {
        protection::refuse_booted(node, env)?;
    }
    staged.publish(lock, node.active.as_ref())
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

/// Returns the environment that an interrupted rename to this name has made already. Only one of the two is shown, so a
/// user who still sees the old name repeats the rename.
fn half_done(node: &Node, env: &Environment, new: &EnvName) -> Result<Option<Environment>> {
    let made = Environment::observe(node, new)?;
    Ok(made.filter(|made| {
        let replaces = made.record.as_ref().and_then(|r| r.replaces.as_deref());
        replaces == Some(env.name.as_str()) && made.uuid() == env.uuid()
    }))
}

/// Unpublishes and deletes an environment of the two, to which no link leads.
fn take_away(pool: &Pool, node: &Node, env: &Environment, mode: Mode) -> Result<()> {
    let shared = pool.lock(mode.wait)?;
    publish::withdraw(pool, &shared, &[env])?;
    drop(shared);
    stage::discard(&env.dir, &node.dir)
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

/// Fills a stage with the halves and metadata of an environment.
fn fill(staged: &StagedEnvironment, env: &Environment, identity: Identity) -> Result<Content> {
    let before = env.record_for_change()?;
    staged.snapshot(env)?;
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
    Ok(Content {
        record,
        before,
        identity,
    })
}

/// Removes the mark of an unfinished rename from an environment's record.
pub fn settle(pool: &Pool, dir: &Path) -> Result<()> {
    let mut record = record_in(pool, dir)?;
    record.replaces = None;
    record.store(dir, pool.key(), Durable::AtOnce)
}

/// Reads the record in an environment's directory of any name.
fn record_in(pool: &Pool, dir: &Path) -> Result<EnvRecord> {
    let file = dir.join(layout::ENV_RECORD);
    let text = record::read(&file)?.with_context(|| format!("reading {}", file.display()))?;
    let root = subvolume::info(&dir.join(layout::ROOT))?.uuid;
    EnvRecord::parse_own(&text, pool.key(), root)
        .with_context(|| format!("reading {}", file.display()))
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
