//! Another name for an environment or a node: `rename`.
//!
//! Boot files, fstab, exports and pointers name environments by path, and a path is never edited under
//! what may be running. So the new name is a new pair of snapshots with its own text, published by one
//! rename; then what led to the old leads to the new, and the old goes. In between, the new one's record
//! says whose place it takes, and only one of the two is shown. Refused while booted or perhaps booted.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::staged::{Complete, Content, Identity, StagedEnvironment, StagedNode, Target};
use super::{Mode, Outcome, activate, create, destroy, in_use};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::atomic::Durable;
use crate::pool::base::Base;
use crate::pool::foreign;
use crate::pool::lock::Share;
use crate::pool::record;
use crate::pool::record::EnvRecord;
use crate::pool::stage;
use crate::pool::state;
use crate::pool::{EnvName, Environment, Node, NodeLock, NodeName, Operand, Pool, layout};
use crate::publish::{self, Published, dnsmasq, tftp};

/// Gives an environment another name; returns the new `NODE/ENV`.
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
    let target = Operand {
        node: node.name.clone(),
        env: Some(new.clone()),
    };
    let half_done = half_done(&node, &env, new)?;
    if half_done.is_none() {
        create::free_name(pool, Some(&node), &target)?;
    }
    let becomes = Target {
        pool,
        node: &node.name,
        record: &node.record,
        env: new,
        boots_next: env.active,
    };
    let Some(lock) = lock else {
        becomes.foresee(&env, &env.record_for_change()?)?;
        return Ok(Outcome::Planned(vec![
            format!("snapshot both halves of {env} as {target}"),
            format!("write the boot files and fstab of {target}"),
            format!("lead everything to {target} that led to {env}"),
            format!("destroy {env}"),
        ]));
    };
    match half_done {
        // Nothing leads to the new one yet, and what led to the old may have changed since: it is made anew.
        Some(made) if env.active => take_away(pool, &node, &made, mode)?,
        Some(made) => {
            take_away(pool, &node, &env, mode)?;
            settle(pool, &made.dir)?;
            return Ok(Outcome::Done(target.to_string()));
        }
        None => {}
    }
    let staged = StagedEnvironment::in_node(becomes, &node)?;
    let complete = fill(&staged, &env, Identity::Same)?;
    // It may have been booted since: nothing leads to the new one yet.
    destroy::refuse_booted(&node, &env)?;
    let dir = layout::env(pool.root(), &node.name, new);
    let made = staged.publish(&lock, complete)?;
    if env.active {
        // By the path: the list shows only one of the two.
        let renamed =
            Environment::observe(&node, new)?.with_context(|| format!("finding {target} again"))?;
        let shared = pool.lock(mode.wait)?;
        activate::switch(pool, &lock, &shared, &node, &made.verified(&renamed)?)?;
        // Or just before that; then it stays until the same is asked for again.
        destroy::refuse_booted(&node, &env)?;
    }
    take_away(pool, &node, &env, mode)?;
    settle(pool, &dir)?;
    Ok(Outcome::Done(target.to_string()))
}

/// Gives a node another name, with all its environments.
pub fn node(pool: &Pool, old: &NodeName, new: &NodeName, mode: Mode) -> Result<Outcome<String>> {
    pool.node(old)?;
    // Before the locks: its own name would wait for itself.
    refuse_taken(pool, old, new)?;
    let locks = match mode.dry_run {
        true => None,
        false => {
            pool.refuse_work_in(old, mode.wait)?;
            Some(lock_both(pool, old, new, mode)?)
        }
    };
    pool.refuse_work_in(old, Duration::ZERO)?;
    let node = pool.node(old)?;
    node.refuse_unknown_active()?;
    foreign::refuse(&node.name, &foreign::in_node(&node.dir)?)?;
    let envs = node.environments()?;
    for env in &envs {
        refuse(&node, env)?;
    }
    refuse_taken(pool, old, new)?;
    let Some((_old_stays, lock)) = locks else {
        for env in &envs {
            let becomes = Target {
                pool,
                node: new,
                record: &node.record,
                env: &env.name,
                boots_next: env.active,
            };
            becomes.foresee(env, &env.record_for_change()?)?;
        }
        return Ok(Outcome::Planned(vec![
            format!("make {new} with the {} environments of {old}", envs.len()),
            format!("lead the names of {old} to {new}"),
            format!("destroy {old}"),
        ]));
    };
    if !is_begun(pool, old, new) {
        make_node(pool, &lock, &node, &envs, new)?;
    }
    let shared = pool.lock(mode.wait)?;
    let now = pool.node(new)?;
    if let Some(active) = now.active_if_any()? {
        publish::export(pool, &shared, &now, &active)?;
    }
    tftp::bring_node_up_to_date(pool, Some(&shared), &now, &mut Published::default())?;
    dnsmasq::bring_node_up_to_date(pool, Some(&shared), &now, &mut Published::default())?;
    publish::withdraw(pool, &shared, &envs.iter().collect::<Vec<_>>())?;
    drop(shared);
    stage::discard(&node.dir, &layout::nodes(pool.root()))?;
    state::forget_node(&node.state)?;
    let mut record = now.record.clone();
    record.replaces = None;
    now.store(&lock, &record)?;
    Ok(Outcome::Done(new.to_string()))
}

/// Makes a node under its new name, with copies of all its environments.
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
        let mut complete = fill(&copy, env, Identity::OldName)?;
        complete.record.replaces = None;
        staged.add(&copy, &complete)?;
    }
    // One may have been booted since: nothing leads to the new node yet.
    for env in envs {
        destroy::refuse_booted(node, env)?;
    }
    staged.publish(lock, node.active.as_ref())
}

/// Returns whether the same rename of a node has made the new one already, before it was interrupted: of the two only
/// one is shown from then on.
///
/// By the environments' identity, too: a node made later under the old name is another, and is not to go.
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

/// Returns the new name that the same rename has made already, before it was interrupted: of the two only one is
/// shown, and a person who sees the old one, or sees neither move, asks for it again.
fn half_done(node: &Node, env: &Environment, new: &EnvName) -> Result<Option<Environment>> {
    let made = Environment::observe(node, new)?;
    Ok(made.filter(|made| {
        let replaces = made.record.as_ref().and_then(|r| r.replaces.as_deref());
        replaces == Some(env.name.as_str()) && made.uuid() == env.uuid()
    }))
}

/// Takes away the one of two names that nothing leads to.
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
        Ok(_) => Err(Failure::refused(format!("{new} is there already")).into()),
        Err(_) => Ok(()),
    }
}

fn refuse(node: &Node, env: &Environment) -> Result<()> {
    node.refuse_lost()?;
    destroy::refuse_booted(node, env)?;
    env.require_sound()?;
    destroy::refuse_pending(node, env)?;
    foreign::refuse(env, &foreign::in_env(&env.dir)?)?;
    in_use::refuse_used(env)
}

/// Makes the halves what an environment is under its new name.
fn fill(staged: &StagedEnvironment, env: &Environment, identity: Identity) -> Result<Complete> {
    let before = env.record_for_change()?;
    staged.snapshot(env)?;
    // One that cannot be used is left behind: it costs a full stream, and is no reason not to rename.
    if let Ok(Some(base)) = Base::read(env) {
        base.copy(&staged.dir().join(layout::BASE))
            .with_context(|| format!("copying what was last sent of {env}"))?;
    }
    // The same file under another name; there may be none.
    let log = |dir: &Path| dir.join(layout::UPGRADE_LOG);
    match std::fs::hard_link(log(&env.dir), log(staged.dir())) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("keeping the log of {env}"));
        }
        _ => {}
    }
    let mut record = before.clone();
    record.replaces = Some(env.name.to_string());
    staged.complete(Content {
        record,
        before,
        identity,
    })
}

/// Takes the mark of an unfinished rename off an environment.
pub fn settle(pool: &Pool, dir: &Path) -> Result<()> {
    let mut record = record_in(pool, dir)?;
    record.replaces = None;
    record.store(dir, pool.key(), Durable::AtOnce)
}

/// Reads the record in an environment's directory, whatever name that has.
fn record_in(pool: &Pool, dir: &Path) -> Result<EnvRecord> {
    let file = dir.join(layout::ENV_RECORD);
    let text = record::read(&file)?.with_context(|| format!("reading {}", file.display()))?;
    let root = subvolume::info(&dir.join(layout::ROOT))?.uuid;
    EnvRecord::parse_own(&text, pool.key(), root)
        .with_context(|| format!("reading {}", file.display()))
}

/// Takes the locks of both names, of the old one first in what is returned.
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
