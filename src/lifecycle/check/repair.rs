//! Repairing. Each repair reads again under the lock before it changes anything.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Finding, Repair, check};
use crate::boot::{self, fstab};
use crate::btrfs::subvolume;
use crate::fs::atomic::Durable;
use crate::fs::interrupt;
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;
use crate::images::{self, Access, Opened};
use crate::lifecycle::{Held, Mode, Outcome, activate, lent, plan, properties, rename};
use crate::pool::data_store;
use crate::pool::foreign;
use crate::pool::record::EnvRecord;
use crate::pool::state;
use crate::pool::{
    EnvId, Environment, Node, NodeLock, NodeName, Pool, deployed, environment, layout, stage,
};
use crate::publish;
use crate::staged::{self, Verified};

/// How often the check is repeated after repairs, at most: a repair can make more readable.
const MAX_READS: usize = 3;

/// The result.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The repairs that were done, or in a dry run would be, a part of a sentence each.
    pub done: Vec<String>,
    /// The findings that are left.
    pub findings: Vec<Finding>,
    /// The failures.
    pub failures: Vec<anyhow::Error>,
}

/// Repairs one node or the whole pool, until no repairable finding is left.
///
/// A failed repair does not stop the others.
///
/// # Errors
/// When checking fails, and when netbe was interrupted.
pub fn repair(pool: &Pool, only: Option<&NodeName>, mode: Mode) -> Result<Repaired> {
    let mut repaired = Repaired {
        findings: check(pool, only)?,
        ..Repaired::default()
    };
    for _ in 0..MAX_READS {
        let (done, failures) = mend_all(pool, &repaired.findings, mode)?;
        // Only the failures of the last round: each round tries failed repairs again.
        repaired.failures = failures;
        let is_over = done.is_empty() || mode.dry_run;
        for one in done {
            if !repaired.done.contains(&one) {
                repaired.done.push(one);
            }
        }
        if is_over {
            break;
        }
        repaired.findings = check(&pool.again()?, only)?;
    }
    Ok(repaired)
}

/// Returns what was done, and the failures.
fn mend_all(
    pool: &Pool,
    findings: &[Finding],
    mode: Mode,
) -> Result<(Vec<String>, Vec<anyhow::Error>)> {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    let mut repairs: Vec<&Repair> = findings.iter().filter_map(|f| f.repair.as_ref()).collect();
    // Publishing last, since the others change what is published.
    repairs.sort_by_key(|r| matches!(r, Repair::Publish));
    repairs.dedup();
    for one in repairs {
        let what = sentence(one);
        match mend(pool, one, &what, mode).with_context(|| format!("to {what}")) {
            Ok(Outcome::Planned(steps)) => done.extend(steps),
            Ok(Outcome::Done(())) => done.push(what),
            Err(e) => {
                interrupt::check()?;
                failures.push(e);
            }
        }
    }
    Ok((done, failures))
}

fn sentence(repair: &Repair) -> String {
    match repair {
        Repair::Remove(path, _) | Repair::FinishRename(path, _) => {
            format!("remove {}", path.display())
        }
        Repair::Describe(node, env) => format!("write the env.json of {node}/{env}"),
        Repair::RemoveHalfReplaced(node, env) => {
            format!("remove what a killed command was writing in {node}/{env}")
        }
        Repair::GiveBack(node, env) => format!("put back the own files of {node}/{env}"),
        Repair::MountData(node, env) => properties::mounting(&EnvId::new(node, env)),
        Repair::Verify(node, env) => format!("record that {node}/{env} would boot"),
        Repair::ForgetSent(node) => {
            format!("remove what was sent to the disk of {node} and is needed no more")
        }
        Repair::LeadToDisk(node, env) => properties::writing(&EnvId::new(node, env)),
        Repair::Activate(node, env) => format!("activate {node}/{env}"),
        Repair::Forget(node) => format!("forget {node}, which is not there"),
        Repair::Copy(Some(node)) => format!("write the copy of the record of {node}"),
        Repair::Copy(None) => "write the copy of the pool's record".to_string(),
        Repair::Publish => "publish".to_string(),
    }
}

/// Repairs by one step, under the lock that it takes; refuses first, also in a dry run.
fn mend(pool: &Pool, repair: &Repair, what: &str, mode: Mode) -> Result<Outcome<()>> {
    match repair {
        Repair::Remove(path, node) => {
            let lock = |node| mode.lock_to_change(pool, node);
            let lock = mode.locks(pool, || node.as_ref().map(lock).transpose())?;
            step(what, lock, |_lock| remove(path))
        }
        Repair::FinishRename(path, node) => finish_rename(pool, path, node, what, mode),
        Repair::Describe(node, env) => {
            let lock = mode.lock(pool, node)?;
            let node = pool.node(node)?;
            let env = node.environment(env)?;
            // An existing record, if it can be read, has more information and must stay.
            refuse_unread(&env)?;
            step(what, lock, |lock| describe(&lock, &node, &env))
        }
        Repair::RemoveHalfReplaced(name, env) => {
            let lock = mode.lock_idle(pool, name, env)?;
            let env = pool.node(name)?.environment(env)?;
            step(what, lock, |_lock| staged::remove_half_replaced(&env))
        }
        Repair::GiveBack(name, env) => {
            let lock = mode.lock_idle(pool, name, env)?;
            let node = pool.node(name)?;
            let env = node.environment(env)?;
            step(what, lock, |lock| {
                lent::give_back(Some(&lock), &node, env).map(drop)
            })
        }
        Repair::MountData(node, env) => {
            // It takes the locks itself.
            properties::mount_data(pool, node, env, mode).map(|done| done.map(drop))
        }
        Repair::Verify(name, env) => {
            // Without the lock: the files of a disk image are shown by a program.
            let node = pool.node(name)?;
            let before = node.environment(env)?;
            staged::refuse_unbootable(&before.id(), &staged::reasons(pool, &node, &before)?)?;
            step(what, mode.lock(pool, name)?, |lock| {
                let env = pool.node(name)?.environment(env)?;
                let mut record = env.record_for_change()?;
                // What another command has recorded meanwhile is newer.
                if before
                    .record
                    .is_some_and(|before| before.would_not_boot == record.would_not_boot)
                {
                    record.would_not_boot.clear();
                    env.store(&lock, &record, Durable::AtOnce)?;
                }
                Ok(())
            })
        }
        Repair::ForgetSent(node) => step(what, mode.lock(pool, node)?, |_lock| {
            deployed::forget_unneeded(&pool.node(node)?)
        }),
        Repair::LeadToDisk(node, env) => {
            properties::write_boot_files(pool, node, env, mode).map(|done| done.map(drop))
        }
        Repair::Activate(name, env) => {
            let lock = mode.lock(pool, name)?;
            let node = pool.node(name)?;
            let env = node.environment(env)?;
            // An environment is active again.
            if node.active_if_any()?.is_some() {
                return Ok(Outcome::Done(()));
            }
            let verified = Verified::new(pool, &node, &env, false)?;
            step(what, lock, |lock| {
                activate::switch(&mut Held::take(pool, &lock, mode)?, &node, &verified)
            })
        }
        Repair::Forget(node) => step(what, mode.lock(pool, node)?, |lock| {
            match layout::node(pool.root(), node).symlink_metadata() {
                Ok(_) => Ok(()),
                Err(_) => state::forget_node(&lock, &layout::node_state(pool.state(), node)),
            }
        }),
        Repair::Copy(Some(name)) => {
            let lock = mode.lock(pool, name)?;
            let node = pool.node(name)?;
            node.refuse_lost()?;
            step(what, lock, |lock| node.store(&lock, &node.record))
        }
        Repair::Copy(None) => {
            let shared = mode.locks(pool, || pool.lock(mode.wait))?;
            step(what, shared, |shared| {
                let pool = pool.again()?;
                pool.store(&shared, pool.record())
            })
        }
        Repair::Publish => {
            let shared = mode.locks(pool, || pool.lock(mode.wait))?;
            step(what, shared, |shared| {
                publish::everything(pool, Some(&shared)).map(drop)
            })
        }
    }
}

fn step<C>(what: &str, with: Option<C>, take: impl FnOnce(C) -> Result<()>) -> Result<Outcome<()>> {
    plan::one_step(with, || vec![what.to_string()], take)
}

fn remove(path: &Path) -> Result<()> {
    match if_exists(path.symlink_metadata())? {
        None => {}
        // A running command holds it now.
        Some(_) if stage::is_guarded(path) => {}
        Some(m) if m.is_dir() => data_store::remove(path)?,
        Some(_) => fs::remove_file(path)?,
    }
    Ok(())
}

/// Removes the hidden one of two names, and the mark in the record of the other.
fn finish_rename(
    pool: &Pool,
    path: &Path,
    node: &NodeName,
    what: &str,
    mode: Mode,
) -> Result<Outcome<()>> {
    let parent = path.parent().unwrap_or(path);
    if parent == layout::nodes(pool.root()) {
        let locks = mode.locks(pool, || lock_names(pool, node, mode))?;
        let mut new = pool.nodes()?;
        if new.iter().any(|n| n.dir == path) {
            return Ok(Outcome::Done(()));
        }
        new.retain(|n| n.record.replaces.as_deref() == Some(node.as_str()));
        for new in &new {
            // An error here means that the names may still lead to the old node.
            new.active_if_any()?;
        }
        foreign::refuse(node, &foreign::in_whole_node(path)?)?;
        return step(what, locks, |locks| {
            let shared = pool.lock(mode.wait)?;
            // Published links lead to the new node before the old one is deleted.
            publish::everything(pool, Some(&shared))?;
            let of_old = locks.iter().find(|lock| lock.node() == node);
            let of_old = of_old.with_context(|| format!("{node} is not locked"))?;
            stage::discard_node(of_old, path)?;
            state::forget_node(of_old, &layout::node_state(pool.state(), node))?;
            for new in new {
                let mut record = new.record.clone();
                record.replaces = None;
                // A node that appeared after the locks were taken is left for the next round.
                if let Some(lock) = locks.iter().find(|l| *l.node() == new.name) {
                    new.store(lock, &record)?;
                }
            }
            Ok(())
        });
    }
    let lock = mode.lock(pool, node)?;
    let node = pool.node(node)?;
    let envs = node.environments()?;
    // Which of the two is removed depends on which is active, and on both records.
    node.active_if_any()?;
    for env in &envs {
        refuse_unread(env)?;
    }
    if envs.iter().any(|e| e.dir == path) {
        return Ok(Outcome::Done(()));
    }
    foreign::refuse(&path.display(), &foreign::in_env(path)?)?;
    step(what, lock, |lock| {
        stage::discard_env(&lock, path, &node.dir)?;
        let node = pool.node(&node.name)?;
        for env in node.environments()? {
            if env.record.as_ref().is_some_and(|r| r.replaces.is_some()) {
                rename::settle(&lock, &node, &env.name)?;
            }
        }
        Ok(())
    })
}

/// Takes the locks of a node's old name, and of the nodes renamed from it, in order.
fn lock_names(pool: &Pool, old: &NodeName, mode: Mode) -> Result<Vec<NodeLock>> {
    let all = pool.nodes()?.into_iter();
    let takes_its_place = |n: &Node| n.record.replaces.as_deref() == Some(old.as_str());
    let mut names: Vec<NodeName> = all.filter(takes_its_place).map(|n| n.name).collect();
    names.push(old.clone());
    names.sort();
    names
        .iter()
        .map(|name| mode.lock_to_change(pool, name))
        .collect()
}

fn refuse_unread(env: &Environment) -> Result<()> {
    let why = env.problems.join("; ");
    ensure!(!env.unread, "{env} cannot be read: {why}");
    Ok(())
}

/// Regenerates a lost record from the disk. Unknown fields get the safe value: a machine may have booted it.
fn describe(lock: &NodeLock, node: &Node, env: &Environment) -> Result<()> {
    if env.record.is_some() {
        return Ok(());
    }
    let info = subvolume::info(&env.root())?;
    let image = images::uuid_of(&env.root())?;
    let shown = image
        .as_ref()
        .map(|_| Opened::over(&env.root(), Access::Read));
    let shown = shown.transpose()?;
    let (root, boot) = (Tree::open(&env.root())?, Tree::open(&env.boot())?);
    let summary = boot::summary(&boot, &root);
    let fstab = root.read_text("etc/fstab")?.unwrap_or_default();
    let boot_mount = fstab::boot_mount(&fstab).unwrap_or_else(|| "/boot".to_string());
    let record = EnvRecord {
        number: Some(info.id),
        arch: summary.arch.map(|a| a.name().to_string()),
        kernel: environment::kernel_seen(&env.boot(), &summary),
        served: node.is_offered() || node.lost,
        image,
        ..EnvRecord::new(info.uuid.to_string(), info.created, boot_mount)
    };
    drop((root, boot));
    drop(shown);
    env.store(lock, &record, Durable::AtOnce)
}
